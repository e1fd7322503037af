/* A paper on the screen: its button prints it. Without scripts there is no button, and the browser's own menu prints. */
(() => {
  "use strict";
  for (const button of document.querySelectorAll("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  }
})();
