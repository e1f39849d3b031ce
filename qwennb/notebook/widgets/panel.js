// What every panel is drawn with. A panel's own module stands behind this one in the same file, and ends with
//
//   export default panel({
//     draw: ui => ({ status, actions, menu, body, foot, gone }),  // what is seen now: nodes, or nothing; `gone`: without a kernel
//     start: ui => { … },                                   // once, before the first drawing
//     drawn: ui => { … },                                   // after each drawing
//     keys: (event, ui) => { … },                           // a key that was pressed anywhere in the panel
//     unheard: ui => { … },                                 // for five seconds Python has not taken an intent
//   });
//
//   ui.get(name)                    a trait of Python's; when one changes, all is drawn anew
//   ui.act(kind, fields, buffers)   asks Python for an intent; false where there is no kernel any more
//   ui.local                        what only this view knows (what is folded, what is typed); ui.redraw() after a change
//   ui.root, ui.find(selector)      the elements; ui.announce(text) says it to a screen reader
//
//   make(tag, props, ...children)   describes an element; `draw` makes it so and touches only what has changed, so that
//                                   focus, selection and scrolling stay. props: `key` (who it is among its siblings),
//                                   `same` (while it is equal, nothing in it is looked at), on… (functions), `css` (an
//                                   object), value, checked, disabled, open, hidden; anything else is an attribute
//   text(nodes)                     nodes of Python's `inert`: a model's text
//   button(label, icon, act, props) a button: with an icon alone, its label is its name and its tip
//   follow(element)                 keeps a list that grows at its end, until somebody scrolls up
//
// No markup is ever parsed, no address is ever loaded, and no element is made that is not in these lists.
const HTML = new Set(("div span p section header footer ul ol li dl dt dd table thead tbody tr th td caption blockquote pre code kbd em " +
  "strong s br hr a button textarea input select option optgroup label datalist article details summary progress meter img h2 h3 fieldset " +
  "legend i output small mark ins del").split(" "));
const MATH = new Set(("math mrow mi mn mo mtext mspace mfrac msqrt mroot mstyle msub msup msubsup munder mover munderover mtable " +
  "mtr mtd mpadded mphantom menclose").split(" "));
const MATH_PROPS = new Set(("display mathvariant displaystyle scriptlevel linethickness stretchy fence form separator accent " +
  "accentunder largeop movablelimits minsize maxsize lspace rspace width columnalign columnspacing rowspacing columnlines " +
  "rowlines notation").split(" "));
const TEXT = new Set("div span p em strong s ul ol li table thead tbody tr th td blockquote pre code a br hr".split(" "));
const CLASSES = new Set("heading note plain right table".split(" "));
const FOCUSABLE = new Set("button textarea input select summary a".split(" "));
const PROPERTIES = new Set("value checked disabled open hidden selected indeterminate".split(" "));
const FORBIDDEN = /^(on|style$|srcdoc$|formaction$|action$|xlink|is$)/;
const PATHS = {
  send: "M8 13V3M3.5 7.5 8 3l4.5 4.5", stop: "M4 4h8v8H4z", copy: "M5.5 5.5V2.5h8v8h-3M2.5 5.5h8v8h-8z", check: "M3 8.5 6.5 12 13 4.5",
  edit: "M2.5 13.5 3.2 10.6 10.8 3a1 1 0 0 1 1.4 0l.8.8a1 1 0 0 1 0 1.4L5.4 12.8z", again: "M13 8a5 5 0 1 1-1.6-3.7M13 2.5v2.8h-2.8",
  branch: "M4.5 11V5M4.5 9c5 0 7-.5 7-3.5M4.5 5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3M4.5 14a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3M11.5 5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3",
  attach: "M13 7.5 8 12.4a3 3 0 0 1-4.3-4.2L9 3a2 2 0 0 1 2.9 2.8L6.7 11a1 1 0 0 1-1.5-1.4L9.8 5", close: "M4 4l8 8M12 4l-8 8",
  down: "M3.5 8.5 8 13l4.5-4.5M8 13V3", insert: "M2.5 2.5h11v11h-11zM8 5.5v5M5.5 8h5", more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  left: "M10 3.5 5.5 8l4.5 4.5", right: "M6 3.5 10.5 8 6 12.5", tool: "M9.5 6.5 3 13M9 4a3 3 0 0 1 4-1.5L11 4.500l.5 1L13 5a3 3 0 0 1-4 2",
  undo: "M6 3 2.5 6.500 6 10M3 6.500h6.500a3.500 3.500 0 0 1 0 7H7",
};

const make = (tag, props, ...children) => ({ tag, props: props || {}, children: children.flat(Infinity).filter(one => one || one === 0) });
const icon = name => make("svg", { viewBox: "0 0 16 16", "aria-hidden": "true", class: "qw-icon" }, make("path", { d: PATHS[name] || "", fill: name === "stop" && "currentColor" }));
const button = (label, sign, act, props = {}) => {
  const alone = sign && !props.text, own = { ...props };
  delete own.text;
  return make("button", { type: "button", title: label, onclick: act, ...(alone || props.text !== label ? { "aria-label": label } : {}), ...own,
    class: `qw-button ${alone ? "qw-alone " : ""}${props.class || ""}` }, sign && icon(sign), props.text);
};

function text(nodes) {
  return (nodes || []).map(node => {
    if (typeof node === "string") return node;
    const [tag, given, inside] = node, props = {};
    if (MATH.has(tag)) {
      for (const name of Object.keys(given)) if (MATH_PROPS.has(name)) props[name] = String(given[name]);
      return make(tag, props, text(inside));
    }
    if (given.href) props.href = given.href;
    if (given.start) props.start = given.start;
    if (CLASSES.has(given.class)) props.class = `qw-${given.class}`;
    if (tag === "pre") return code(given.lang, inside.join(""));
    if (given.class === "table") Object.assign(props, { tabindex: 0, role: "region", "aria-label": "Table" });
    return make(TEXT.has(tag) ? tag : "span", props, text(inside));
  });
}

// A block of code; `more` are buttons beside Copy.
let codeButtons = () => [];
function code(language, source) {
  return make("div", { class: "qw-code" },
    make("div", { class: "qw-code-head" }, make("span", {}, language || "text"), make("span", { class: "qw-gap" }), codeButtons(source, language),
      button("Copy this code", "copy", event => copy(source, event.currentTarget))),
    make("pre", { tabindex: 0, role: "region", "aria-label": `Code${language ? `, ${language}` : ""}` }, make("code", {}, source)));
}
async function copy(source, at) {
  try { await navigator.clipboard.writeText(source); } catch { return; }
  if (!at) return;
  at.classList.add("qw-done");
  setTimeout(() => at.classList.remove("qw-done"), 1200);
}

function element(tag) {
  const made = tag === "svg" || tag === "path" ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : MATH.has(tag) ? document.createElementNS("http://www.w3.org/1998/Math/MathML", tag) : document.createElement(HTML.has(tag) ? tag : "span");
  if (FOCUSABLE.has(tag)) made.setAttribute("data-lm-suppress-shortcuts", "true");
  return made;
}
function put(node, name, value, before) {
  if (name === "key" || name === "same") return;
  if (/^on[a-z]+$/.test(name)) { node[name] = typeof value === "function" ? value : null; return; }
  if (value === before && !(name === "value" && node.value !== value && document.activeElement !== node)) return;
  if (name === "css") { for (const one of Object.keys(value)) node.style.setProperty(one, value[one]); return; }
  if (PROPERTIES.has(name)) { node[name] = value ?? (name === "value" ? "" : false); return; }
  if (FORBIDDEN.test(name)) return;
  if (name === "href" && !/^https?:\/\//i.test(value || "")) return;
  if (name === "src" && !/^(blob:|data:image\/(png|jpeg|gif|webp);base64,)/.test(value || "")) return;
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : String(value));
  if (name === "href") { node.setAttribute("rel", "noreferrer noopener"); node.setAttribute("target", "_blank"); }
  if (name === "tabindex") node.setAttribute("data-lm-suppress-shortcuts", "true");
}
function draw(parent, children) {
  const keyed = new Map(), wanted = new Set(children.map(one => one.props && one.props.key).filter(one => one !== undefined));
  for (const one of parent.childNodes) if (one.qw && one.qw.key !== undefined) keyed.set(one.qw.key, one);
  let at = parent.firstChild;
  for (const child of children) {
    while (at && at.qw && at.qw.key !== undefined && !wanted.has(at.qw.key)) { const gone = at; at = at.nextSibling; gone.remove(); }
    if (typeof child !== "object") {
      if (at && at.nodeType === 3) { if (at.data !== String(child)) at.data = String(child); at = at.nextSibling; }
      else parent.insertBefore(document.createTextNode(String(child)), at);
      continue;
    }
    const key = child.props.key;
    let node = key !== undefined ? keyed.get(key) : at && at.qw && at.qw.key === undefined ? at : null;
    if (!node || node.qw.tag !== child.tag) { node = element(child.tag); node.qw = { tag: child.tag, key, props: {} }; }
    if (node === at) at = at.nextSibling; else parent.insertBefore(node, at);
    const before = node.qw.props;
    if (child.props.same !== undefined && child.props.same === before.same) continue;
    for (const name of Object.keys(before)) if (!(name in child.props)) put(node, name, undefined, before[name]);
    if (child.tag === "select") draw(node, child.children);
    for (const name of Object.keys(child.props)) put(node, name, child.props[name], before[name]);
    node.qw.props = child.props;
    if (child.tag !== "textarea" && child.tag !== "select") draw(node, child.children);
  }
  while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
}

function follow(list) {
  const state = { follows: true };
  let was = 0;
  list.addEventListener("scroll", () => {
    if (list.scrollHeight - list.scrollTop - list.clientHeight < 24) state.follows = true;
    else if (list.scrollTop < was - 2) state.follows = false;
    was = list.scrollTop;
  }, { passive: true });
  state.drawn = () => { if (state.follows) list.scrollTop = list.scrollHeight; };
  state.toEnd = () => { state.follows = true; state.drawn(); };
  return state;
}

function panel(own) {
  return {
    render({ model, el }) {
      el.classList.add("qw");
      el.tabIndex = -1;
      el.setAttribute("data-lm-suppress-shortcuts", "true");
      el.setAttribute("role", "group");  // no landmark: a notebook may have many
      const stage = document.createElement("div"), spoken = document.createElement("div");
      stage.className = "qw-stage";
      spoken.className = "qw-spoken";
      spoken.setAttribute("aria-live", "polite");
      el.append(stage, spoken);
      const active = () => el.getRootNode().activeElement;
      let planned = 0, waits = 0;
      const heard = () => { clearTimeout(waits); waits = 0; };
      const unheard = () => {
        waits = 0;
        ui.tell("The kernel has not answered. If it was restarted, run this cell again.");
        if (own.unheard) own.unheard(ui);
      };
      const ui = {
        root: el, model, local: {}, get: name => model.get(name), find: selector => el.querySelector(selector), active,
        act: (kind, fields = {}, buffers = []) => {
          ui.local.told = "";
          try {
            model.send({ ...fields, kind }, undefined, buffers);
            waits ||= setTimeout(unheard, 5000);
            return true;
          }
          catch { ui.tell("The kernel is gone. Run this cell again to go on."); return false; }
        },
        redraw: () => { if (!planned) planned = requestAnimationFrame(now); },
        announce: words => { spoken.textContent = words; },
        tell: words => { ui.local.told = words; ui.redraw(); },  // in the line below the panel, as Python's `say`
      };
      const now = () => {
        planned = 0;
        const had = active(), seen = own.draw(ui), heading = model.get("heading"), notice = ui.local.told || model.get("notice");
        el.setAttribute("aria-label", heading);
        draw(stage, [
          make("div", { key: "head", class: "qw-head" }, make("strong", {}, heading), make("span", { class: "qw-status" }, seen.status),
            seen.actions, seen.menu && button("More", "more", () => { ui.local.menu = !ui.local.menu; ui.redraw(); }, { class: "qw-more", "aria-expanded": String(!!ui.local.menu) })),
          ...(seen.menu && ui.local.menu ? [make("div", { key: "menu", class: "qw-menu" }, seen.menu)] : []),
          make("div", { key: "body", class: "qw-body" }, seen.body),
          make("div", { key: "notice", class: "qw-notice", role: "status" }, notice),
          ...(seen.foot ? [make("div", { key: "foot", class: "qw-foot" }, seen.foot)] : []),
          make("p", { key: "gone", class: "qw-gone" }, seen.gone || `${heading}: the kernel is gone. Run this cell again to use it.`),
        ]);
        // What had the focus is gone, or can't be pressed any more and would lose it: the next key must not be the notebook's.
        if (had && had !== el && (had.disabled || (!had.isConnected && !el.contains(active())))) (el.querySelector("[data-home]") || el).focus({ preventScroll: true });
        if (own.drawn) own.drawn(ui);
      };
      for (const kind of ["keydown", "keyup", "keypress", "mousedown", "pointerdown", "focusin", "copy", "cut", "paste", "dragover", "drop", "contextmenu"])
        el.addEventListener(kind, event => event.stopPropagation());
      el.addEventListener("keydown", event => {
        if (event.isComposing) return;
        if (event.key === "Escape" && ui.local.menu) { ui.local.menu = false; el.querySelector(".qw-more").focus(); ui.redraw(); return; }
        if (own.keys) own.keys(event, ui);
      });
      if (own.start) own.start(ui);
      // A kernel that is restarted or dies says nothing more: its front end does.
      const kernel = model.widget_manager?.kernel;
      const end = (_, status) => { if (/restarting|dead|terminating/.test(status)) el.classList.add("jupyter-widgets-disconnected"); };
      kernel?.statusChanged?.connect(end);
      model.on("change", ui.redraw);
      model.on("change:heard", heard);
      now();
      return () => {
        kernel?.statusChanged?.disconnect(end); cancelAnimationFrame(planned); heard();
        model.off("change", ui.redraw); model.off("change:heard", heard);
      };
    },
  };
}
