/* Comfort for those who work all day: keys, copying, questions, a word when the network fails. Every page works without it.
   No words of its own: sentences stand in templates in the page. Safe under a strict content security policy. */
(function () {
  "use strict";

  const root = document.documentElement;
  const FIVE_MINUTES = 5 * 60 * 1000;
  const one = (selector, from) => (from || document).querySelector(selector);
  const all = (selector, from) => Array.from((from || document).querySelectorAll(selector));
  root.classList.add("js");

  /* ---- Messages: the one live region ---- */

  function say(id) {
    const region = one("#messages");
    const template = document.getElementById("say-" + id);
    if (!region || !template) return;
    region.replaceChildren(template.content.cloneNode(true));
    region.scrollIntoView({ block: "nearest" });
  }

  // A no that comes with its own sentence is shown as it is; any other no gets one of ours.
  const speaks = (xhr) => xhr.getResponseHeader("HX-Retarget") === "#messages";
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (speaks(event.detail.xhr)) event.detail.shouldSwap = true;
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.target.id === "messages") event.target.scrollIntoView({ block: "nearest" });
  });
  document.addEventListener("htmx:responseError", (event) => {
    const status = event.detail.xhr.status;
    if (speaks(event.detail.xhr)) return;
    say({ 400: "expired", 403: "forbidden", 404: "missing" }[status] || "broken");
  });
  for (const name of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, (event) => {
      const config = event.detail.requestConfig || {};
      if (event.detail.elt && event.detail.elt.matches("[data-poll]")) return; // the next round tells
      say(config.verb === "get" ? "unreachable" : "unanswered");
    });
  }

  /* ---- Polling: rests while the tab is hidden, ends after five minutes, begins anew after an act ---- */

  const pollingSince = new Map();
  document.addEventListener("htmx:beforeRequest", (event) => {
    const panel = event.detail.elt;
    if (!panel.matches("[data-poll]")) return;
    if (!pollingSince.has(panel.id)) pollingSince.set(panel.id, Date.now());
    const tooLong = Date.now() - pollingSince.get(panel.id) > FIVE_MINUTES;
    if (tooLong) all(".poll-stopped", panel).forEach((note) => { note.hidden = false; });
    if (tooLong || document.hidden) event.preventDefault();
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if ((event.detail.requestConfig || {}).verb !== "get" && !event.detail.elt.matches("[data-poll]")) pollingSince.clear();
  });

  /* ---- A file that is chosen anew is not the one that was refused, nor the one that was shown ---- */

  document.addEventListener("change", (event) => {
    const field = event.target;
    if (field.type !== "file" || !field.form) return;
    const said = document.getElementById(field.id + "-error");
    if (said) said.remove();
    field.removeAttribute("aria-invalid");
    const told = (field.getAttribute("aria-describedby") || "").split(" ").filter((id) => document.getElementById(id));
    if (told.length) field.setAttribute("aria-describedby", told.join(" "));
    else field.removeAttribute("aria-describedby");
    all("[data-of-file]", field.form).forEach((part) => { part.replaceChildren(); });
  });

  /* ---- A note that comes alone, so that the caret stays, marks the field it speaks of ---- */

  document.addEventListener("htmx:afterRequest", (event) => {
    const note = event.detail.target;
    const field = note.id && one(`[aria-describedby~="${CSS.escape(note.id)}"]`);
    if (!field) return;
    if (one(".bad", note)) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  });

  /* ---- Forms: ask first, send once, warn before typed text is lost ---- */

  let unsaved = new Set();
  let asked = null; // the form that has been answered with yes

  document.addEventListener("submit", (event) => {
    const form = event.target;
    const submitter = event.submitter;
    const question = (submitter && submitter.dataset.confirm) || form.dataset.confirm;
    const dialog = one("#confirm");
    if (!question || asked === form || !dialog) return;
    event.preventDefault();
    event.stopPropagation();
    one("#confirm-text").textContent = question;
    one("[data-yes]", dialog).textContent = submitter ? submitter.textContent.trim() || submitter.getAttribute("aria-label") : "OK";
    dialog.returnValue = "";
    dialog.addEventListener("close", () => {
      if (dialog.returnValue !== "yes") return;
      asked = form;
      form.requestSubmit(submitter);
      asked = null;
    }, { once: true });
    dialog.showModal();
  }, true);

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method === "dialog") return;
    unsaved.delete(form);
    if (event.defaultPrevented || form.method !== "post" || form.hasAttribute("data-download")) return;
    if (form.dataset.sending) { event.preventDefault(); return; }
    form.dataset.sending = "yes";
    setTimeout(() => { // after the browser has read which button was pressed
      all("[type=submit]", form).forEach((button) => { button.disabled = true; });
    }, 0);
  });

  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const form of all("form[data-sending]")) {
      delete form.dataset.sending;
      all("[type=submit]", form).forEach((button) => { button.disabled = false; });
    }
  });

  for (const name of ["input", "change"]) {
    document.addEventListener(name, (event) => {
      const form = event.target.form;
      if (form && form.hasAttribute("data-unsaved") && event.isTrusted) unsaved.add(form);
    });
  }
  document.addEventListener("htmx:afterRequest", (event) => {
    const form = event.detail.elt.closest("form");
    if (form && event.detail.successful && event.detail.requestConfig.verb !== "get") unsaved.delete(form);
  });
  // A form whose answer holds what was counted or scanned so far: it is nowhere else until it is sent for good.
  for (const name of ["htmx:load", "htmx:afterSettle"]) {
    document.addEventListener(name, (event) => all("form[data-unsaved=held]", event.target).forEach((form) => unsaved.add(form)));
  }
  window.addEventListener("beforeunload", (event) => {
    unsaved = new Set(Array.from(unsaved).filter((form) => form.isConnected));
    if (unsaved.size) event.preventDefault();
  });

  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-select-all]")) return;
    all("tbody .select input[type=checkbox]:not(:disabled)", event.target.closest("table")).forEach((box) => { box.checked = event.target.checked; });
  });

  /* ---- What is typed and not saved yet outlives an answer that takes its field's place. Boxes only where they save themselves:
     who has ticked that something is understood has to tick it again when it is another thing ---- */

  const isBox = (field) => field.matches("[type=checkbox], [type=radio]");
  const typedIn = (field) => (isBox(field) ? field.checked : field.value);
  const savesItself = (field) => Boolean(field.form) && field.form.matches("[hx-post][hx-trigger]");
  const unsavedFields = () => all("input:not([type=hidden], [type=file], [type=password]), select, textarea").filter((field) => (
    typedIn(field) !== savedIn(field) && (!isBox(field) || savesItself(field))
  ));

  function savedIn(field) { // what the field came with, or was saved as since
    if (field.tagName === "SELECT") return (Array.from(field.options).find((option) => option.defaultSelected) || field.options[0] || {}).value;
    return isBox(field) ? field.defaultChecked : field.defaultValue;
  }

  function isSaved(field) {
    if (field.tagName === "SELECT") for (const option of field.options) option.defaultSelected = option.selected;
    else if (isBox(field)) field.defaultChecked = field.checked;
    else field.defaultValue = field.value;
  }

  function isIn(request, field) { // whether the request says what the field says now
    if (isBox(field)) return field.form === request.elt && request.formData.getAll(field.name).includes(field.value) === field.checked;
    return request.formData.get(field.name) === field.value;
  }

  function tell(field) {
    for (const name of ["input", "change"]) field.dispatchEvent(new Event(name, { bubbles: true }));
  }

  let kept = []; // what no answer is to take away, while one is put in the page
  const putBack = new Set();
  document.addEventListener("htmx:beforeSwap", (event) => {
    kept = unsavedFields().filter((field) => field.id && !isIn(event.detail.requestConfig, field)).map((field) => (
      { field, typed: typedIn(field), caret: field.selectionStart, end: field.selectionEnd }
    ));
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    for (const { field, typed, caret, end } of kept) {
      const now = field.isConnected ? null : document.getElementById(field.id);
      if (!now || now.disabled || now.type !== field.type || typedIn(now) === typed) continue;
      if (isBox(now)) now.checked = typed; else now.value = typed;
      if (now === document.activeElement && typeof caret === "number") now.setSelectionRange(caret, end);
      if (now.form && now.form.hasAttribute("data-unsaved")) unsaved.add(now.form);
      for (let fold = now.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
      putBack.add(now);
    }
    kept = [];
    const request = event.detail.requestConfig;
    const status = event.detail.xhr.status; // 0 where nothing was heard
    if (request.verb === "get" || status < 200 || status >= 300) return;
    for (const field of request.elt.elements || [request.elt]) {
      if (!field.matches("input, select, textarea")) continue;
      if (isIn(request, field)) isSaved(field);
      else if (savesItself(field) && typedIn(field) !== savedIn(field)) putBack.add(field); // typed while that was under way
    }
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    // Typed into what has just been put in, before anybody listened there.
    for (const field of unsavedFields()) if (savesItself(field) && event.target.contains(field)) putBack.add(field);
    putBack.forEach(tell);
    putBack.clear();
  });

  // Typed before htmx had come. Going back and loading anew put old values back: those nobody typed.
  document.addEventListener("htmx:load", (event) => {
    if (event.target === document.body && performance.getEntriesByType("navigation")[0].type === "navigate") unsavedFields().forEach(tell);
  });

  /* ---- Focus stays where it was when an answer takes the place of what had it. htmx sees to what has an id ---- */

  let lost = null; // what had focus: what it is known by, and the part with an id that it stood in
  const mark = (element) => [element.tagName, element.name, element.value, element.textContent.trim(), element.getAttribute("href"),
    element.getAttribute("aria-label"), element.form && element.form.getAttribute("action")].join("|");

  function focusOn(element) {
    if (element.tabIndex < 0) element.tabIndex = -1; // not in the order of Tab, and can have focus
    element.focus({ preventScroll: !element.matches("[data-errors], [aria-invalid=true]") });
  }

  // What tells of all that is wrong; where each field tells for itself, the first of those.
  const firstWrong = (place) => one("[data-errors]", place) || one("[aria-invalid=true]", place);

  // A button that is off while its request is under way has lost it already.
  document.addEventListener("htmx:configRequest", (event) => { event.detail.focused = document.activeElement; });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const element = document.activeElement === document.body ? event.detail.requestConfig.focused : document.activeElement;
    const goes = event.detail.shouldSwap && element && element !== document.body && event.detail.target.contains(element);
    const home = goes && element.parentElement.closest("[id]");
    lost = goes ? { mark: mark(element), sent: element.matches("[type=submit]"), home: home && home.getAttribute("id") } : null;
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const { focused } = event.detail.requestConfig;
    if (focused && focused.isConnected && document.activeElement === document.body) focused.focus();
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (!lost || document.activeElement !== document.body) return;
    const place = event.target;
    const wrong = firstWrong(place);
    const again = all("a, button, input, select, summary", place).find((element) => mark(element) === lost.mark && !element.disabled);
    const home = document.getElementById(lost.home), { sent } = lost;
    lost = null;
    focusOn((sent && wrong) || again || wrong || (place.contains(home) && home) || place);
  });

  // A page that comes back with what is wrong begins there.
  const wrong = firstWrong(one("main"));
  if (wrong && document.activeElement === document.body) focusOn(wrong);

  /* ---- Copying ---- */

  function plainText(element) {
    const text = (node) => {
      const copy = node.cloneNode(true);
      all("button, .tip-text", copy).forEach((part) => part.remove());
      return copy.textContent.trim().replace(/\s+/g, " ");
    };
    return all("p, li, dt", element).map((node) => (
      node.tagName === "DT" ? text(node) + ": " + text(node.nextElementSibling) : text(node)
    )).join("\n");
  }

  async function copy(text) {
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
    const field = document.createElement("textarea"); // plain http on the company's network
    field.value = text;
    field.className = "visually-hidden";
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    if (!done) throw new Error("not copied");
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-copy-from]");
    if (!button) return;
    const source = button.dataset.copyFrom && document.getElementById(button.dataset.copyFrom);
    const said = one("#said");
    said.textContent = "";
    copy(source ? plainText(source) : button.dataset.copy).then(() => {
      button.classList.add("copied");
      const note = button.parentElement.querySelector("[data-copied]");
      if (note) note.hidden = false; else said.textContent = said.dataset.copied;
      setTimeout(() => { button.classList.remove("copied"); if (note) note.hidden = true; }, 3000);
    }, () => button.focus());
  });

  /* ---- Menus and tooltips close by themselves and by Escape ---- */

  document.addEventListener("click", (event) => {
    all("details.fold-menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
    if (event.target.closest("[data-open-keys]")) { all("details.fold-menu[open]").forEach((menu) => { menu.open = false; }); one("#keys").showModal(); }
  });
  function closeAll() {
    for (const menu of all("details.fold-menu[open]")) { menu.open = false; one("summary", menu).focus(); }
    for (const tip of all(".tip:hover, .tip:focus-within")) {
      tip.classList.add("quiet");
      const back = () => tip.classList.remove("quiet");
      tip.addEventListener("mouseleave", back, { once: true });
      tip.addEventListener("focusout", back, { once: true });
    }
  }

  /* ---- Keys: never while one types, never with Ctrl, Alt or Meta; they can be switched off ---- */

  const remembered = {
    get off() { try { return localStorage.getItem("kvitta-keys") === "off"; } catch { return false; } },
    set off(value) { try { if (value) localStorage.setItem("kvitta-keys", "off"); else localStorage.removeItem("kvitta-keys"); } catch { /* not kept */ } },
  };
  const box = one("#keys-on");
  if (box) {
    box.checked = !remembered.off;
    box.addEventListener("change", () => { remembered.off = !box.checked; });
  }

  function move(step) {
    const links = all("table[data-rows] tbody tr [data-open]");
    if (!links.length) return;
    const here = document.activeElement && document.activeElement.closest("tr");
    const at = links.findIndex((link) => link.closest("tr") === here);
    const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + step, 0), links.length - 1);
    links[next].focus({ focusVisible: true });
    links[next].scrollIntoView({ block: "nearest" });
  }

  let goUntil = 0; // `g` waits this long for its second letter
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { closeAll(); return; }
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || remembered.off) return;
    if (event.target.closest("input:not([type=checkbox]):not([type=radio]), select, textarea, [contenteditable], dialog")) return;
    const going = Date.now() < goUntil;
    goUntil = 0;
    if (going) {
      const link = all("[data-goto]").find((item) => item.dataset.goto === event.key);
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    const act = {
      g: () => { goUntil = Date.now() + 1500; },
      j: () => move(1),
      k: () => move(-1),
      "/": () => { const field = one("#search"); if (field) { field.focus(); field.select(); } },
      "?": () => { const dialog = one("#keys"); if (dialog) dialog.showModal(); },
    }[event.key];
    if (act) { event.preventDefault(); act(); }
  });

  /* ---- A scanner does not wait for answers: its codes are counted one after another ---- */

  const scanned = []; // not counted yet; the first is on its way
  let free; // whether the next may go; not known before htmx has come, and the browser sends the form by itself

  function countNext(form) {
    if (free && scanned.length) one("[type=submit]", form).click(); // as Enter does
  }

  window.addEventListener("beforeunload", (event) => { if (scanned.length) event.preventDefault(); });
  document.addEventListener("htmx:load", (event) => { if (event.target === document.body) free = true; });
  document.addEventListener("keydown", (event) => {
    const field = event.target;
    if (event.key !== "Enter" || free === undefined || event.isComposing || !field.matches("[data-scan]")) return;
    event.preventDefault();
    if (event.repeat || (!free && !field.value)) return;
    scanned.push(field.value);
    field.value = "";
    countNext(field.form);
  });
  document.addEventListener("htmx:configRequest", (event) => {
    if (!one("[data-scan]", event.detail.elt)) return;
    free = false;
    if (scanned.length) event.detail.parameters.scan = scanned[0];
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const field = one("[data-scan]", event.detail.requestConfig.elt);
    if (!field) return;
    const [code] = scanned.splice(0, field.isConnected ? Infinity : 1);
    if (!field.isConnected) return; // answered: the next goes when its form is ready
    free = true;
    if (code === undefined) return;
    field.value = code; // not counted, nor what came behind it: heard, and it stands there again
    field.select();
    document.dispatchEvent(new Event("beep"));
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    const field = one("[data-scan]", event.target);
    if (!field) return;
    free = true;
    countNext(field.form);
  });

  /* ---- Rows that are scanned into: Enter goes on to the next one at once, and what its article is follows ---- */

  let behind = false; // scanned while an answer was awaited, or before htmx knew its form: asked for when it is ready
  let last = ""; // the row Enter could not leave, since no row came after it: left when an answer brings one

  function nameRows(form) {
    behind = Boolean(one("[type=submit]", form).disabled || form.closest(".htmx-added"));
    if (!behind) one("[type=submit]", form).click(); // the form's first button, as Enter would
  }

  document.addEventListener("keydown", (event) => {
    const field = event.target;
    if (event.key !== "Enter" || free === undefined || event.isComposing || !field.matches("[data-row]")) return;
    event.preventDefault();
    if (event.repeat || !field.value) return;
    const fields = all("[data-row]", field.form);
    const next = fields[fields.indexOf(field) + 1];
    last = next ? "" : field.name;
    if (next) next.focus();
    nameRows(field.form);
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    const field = one("[data-row]", event.target);
    if (!field) return;
    if (behind) nameRows(field.form);
    const now = document.activeElement;
    const done = now.matches("[data-row]") && now.name === last && typedIn(now) === savedIn(now);
    if (now === document.body || done) (all("[data-row]", field.form).find((each) => !each.value) || field).focus();
  });

  /* ---- A button pressed while what was scanned is under way is pressed when all of it is answered, and not when a code is refused.
     htmx sends nothing of a form that awaits an answer, and the person would have to notice that nothing happened ---- */

  let sending = null; // the button whose request is under way
  let pressed = null; // what the other one is known by

  document.addEventListener("htmx:configRequest", (event) => {
    const told = event.detail.triggeringEvent;
    sending = told ? told.submitter : null;
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[type=submit]");
    const form = button && button.form;
    if (!form || button === sending || !form.matches(".htmx-request") || !one("[data-row], [data-scan]", form)) return;
    event.preventDefault();
    pressed = mark(button);
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (!event.detail.successful) pressed = null;
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    const field = pressed && one("[data-row], [data-scan]", event.target);
    if (!field || field.form.matches(".htmx-request")) return; // the next code is under way
    const button = all("[type=submit]", field.form).find((each) => mark(each) === pressed && !each.disabled);
    pressed = null;
    if (button) button.click();
  });

  /* ---- A wrong scan is heard: the answer carries HX-Trigger: beep ---- */

  document.addEventListener("beep", () => {
    const Audio = window.AudioContext;
    if (!Audio) return;
    const sound = new Audio();
    const tone = sound.createOscillator();
    tone.frequency.value = 220;
    tone.connect(sound.destination);
    tone.start();
    tone.stop(sound.currentTime + 0.2);
    tone.onended = () => sound.close();
  });
})();
