// One row large. A letter acts wherever the focus is, but in a field; the next is sent when Python has kept the one before
// and its row is drawn. Letters that are typed ahead wait; where the kernel is too busy they would judge rows that nobody
// has seen, and are dropped, which is said.
const LETTERS = /^[rwufnp1-9]$/, BUSY = 2000;
const STATES = { right: "✓ right", wrong: "✗ wrong", fixed: "✎ fixed", given: "✓ labelled" };

function send(ui, kind, fields) {
  const { local } = ui, turn = (local.turn = (local.turn || Math.floor(Math.random() * 1e9)) + 1);
  local.waits = turn;
  ui.act(kind, { ...fields, turn });
  setTimeout(() => { if (local.waits === turn) { local.busy = true; local.ahead = []; ui.redraw(); } }, BUSY);
}
function press(ui, letter) {
  const { local } = ui;
  if (local.busy) return;
  if (local.waits) (local.ahead = local.ahead || []).push(letter);
  else if (letter === "f") begin(ui);
  else { local.fixing = null; send(ui, "press", { letter }); }
}
function begin(ui) {
  const row = ui.get("row"), { local } = ui;
  if (row.name === undefined) return;
  const known = row.fix || (ui.get("setup").choices.length ? "" : row.answer || "");
  const typed = (local.ahead || []).splice(0).filter(key => key.length === 1).join("");
  Object.assign(local, { fixing: row.name, draft: known + typed, enters: true });
  ui.redraw();
}
const leave = ui => { ui.local.fixing = null; ui.redraw(); };
const save = ui => { if (!ui.local.waits) send(ui, "fix", { text: ui.local.draft }); };
const key = (ui, letter, label, props = {}) => make("button", { type: "button", class: "qw-button", "aria-keyshortcuts": letter,
  onclick: () => press(ui, letter), ...props }, label, make("kbd", { "aria-hidden": "true" }, letter));
const part = (name, tone, inside, title = name) => make("section", { key: `${tone} ${name}`, class: `qwr-part qwr-${tone}` },
  make("div", { class: "qwr-name" }, title),
  make("div", { class: "qwr-text", tabindex: 0, role: "group", "aria-label": title }, inside));

function showRow(ui, row, setup) {
  const state = row.verdict ? STATES[row.verdict] : "not labelled", { local } = ui;
  const sources = row.source.map(([name, words, picture]) => part(name, "source", picture ? make("img", { src: picture, alt: name }) : words));
  const answers = [
    row.answer !== undefined ? part("answer", "answer", row.answer) : part("answer", "hidden", "Hidden until all rows are labelled. What is true?"),
    row.other !== null && row.other !== undefined && part("other answer", "other", row.other),
    row.fix && part("correction", "fix", row.fix, row.answer === undefined ? "your answer" : "correction"),
  ];
  return [
    make("div", { class: "qwr-where" }, make("strong", {}, `Row ${row.number.toLocaleString("en")}`),
      make("span", { class: `qwr-chip qwr-is-${row.verdict || "open"}` }, state),
      row.confidence !== null && row.confidence !== undefined && make("span", { class: "qw-note" }, `confidence ${row.confidence.toFixed(2)}`),
      make("span", { class: "qw-gap" }),
      key(ui, "p", "Previous", { class: "qw-button qwr-quiet" }),
      make("span", { class: "qw-note" }, `${row.at.toLocaleString("en")} of ${row.of.toLocaleString("en")}`),
      key(ui, "n", "Next", { class: "qw-button qwr-quiet" })),
    make("div", { class: "qwr-pair", "aria-live": "polite" }, make("div", { class: "qwr-sources" }, sources), make("div", {}, answers)),
    local.fixing === row.name ? showFix(ui, setup) : make("div", { class: "qwr-acts", key: "acts" },
      ...(setup.hidden ? [] : [key(ui, "r", "Right", { class: "qw-button qw-primary" }), key(ui, "w", "Wrong")]),
      key(ui, "f", setup.hidden ? "Write it" : "Fix"),
      setup.choices.length > 0 && make("span", { class: "qwr-choices", role: "group", "aria-label": "What is true" },
        make("span", { class: "qw-note" }, "true is"),
        setup.choices.slice(0, 9).map((name, at) => key(ui, String(at + 1), name || "(nothing)", { key: name, class: "qw-button qwr-choice" }))),
      make("span", { class: "qw-gap" }), key(ui, "u", "Undo")),
  ];
}
function showFix(ui, setup) {
  const label = setup.hidden ? "What is true" : "Correction", props = {
    "aria-label": label, value: ui.local.draft, oninput: event => { ui.local.draft = event.target.value; } };
  return make("div", { class: "qwr-acts qwr-mend", key: "mend" },
    make(setup.choices.length ? "input" : "textarea", setup.choices.length ? props : { ...props, rows: 4 }),
    make("button", { type: "button", class: "qw-button qw-primary", onclick: () => save(ui) }, "Save", make("kbd", { "aria-hidden": "true" }, "↵")),
    make("button", { type: "button", class: "qw-button", onclick: () => leave(ui) }, "Leave as it is", make("kbd", { "aria-hidden": "true" }, "esc")));
}
function showTally({ share, lines, confusion }) {
  const most = confusion ? Math.max(1, ...confusion.counts.flat()) : 1, percent = value => `${(100 * value).toFixed(1)}%`;
  return make("div", { class: "qwr-tally" },
    make("div", { class: "qwr-lines" },
      share && make("div", { class: "qwr-scale", "aria-hidden": "true" },
        make("span", { css: { left: percent(share[1]), width: percent(share[2] - share[1]) } }), make("em", { css: { left: percent(share[0]) } })),
      lines.map(line => make("div", {}, line))),
    confusion && make("div", { class: "qwr-matrix", tabindex: 0, role: "group", "aria-label": "Confusion matrix" }, make("table", {},
      make("caption", {}, "answered ↓, true →"),
      make("thead", {}, make("tr", {}, make("td", {}), confusion.truths.map(name => make("th", { scope: "col" }, name)))),
      make("tbody", {}, confusion.counts.map((counts, at) => make("tr", {}, make("th", { scope: "row" }, confusion.answers[at]),
        counts.map((count, to) => make("td", { class: at === to ? "qwr-hit" : "qwr-miss", css: { "--qwr-much": `${count && 8 + Math.round(30 * count / most)}%` } },
          count.toLocaleString("en")))))))));
}
function showMenu(ui, setup) {
  const { local } = ui;
  local.path = local.path ?? "corrected.jsonl";
  local.form = local.form || setup.forms[0];
  return [
    make("label", { class: "qw-field" }, "examples for", make("select", { value: local.form, onchange: event => { local.form = event.target.value; } },
      setup.forms.map(form => make("option", { value: form }, form)))),
    make("label", { class: "qw-field" }, "file", make("input", { value: local.path, oninput: event => { local.path = event.target.value; } })),
    make("label", { class: "qwr-check" }, make("input", { type: "checkbox", checked: !!local.too, onchange: event => { local.too = event.target.checked; } }), "right rows too"),
    button("Export", "", () => ui.act("write", { path: local.path, form: local.form, right: !!local.too }), { text: "Export" }),
    make("span", { class: "qw-gap" }),
    button("Draw confusion matrix", "", () => ui.act("picture"), { text: "Draw confusion matrix" }),
  ];
}

export default panel({
  draw: ui => {
    const setup = ui.get("setup"), chosen = ui.get("chosen"), row = ui.get("row"), tally = ui.get("tally");
    const choose = fields => ui.act("choose", { which: chosen.which, below: chosen.below, ...fields });
    const told = tally.lines.length || tally.confusion;
    return {
      status: [tally.said.replace(/\.$/, ""), setup.file, setup.by].filter(Boolean).join(" · ") + (ui.local.busy ? " · The kernel is busy; letters are not taken." : ""),
      actions: [
        chosen.which === "low confidence" && make("label", { class: "qwr-check" }, "below", make("input", { type: "number", step: "0.05", value: chosen.below,
          onchange: event => choose({ below: Number(event.target.value) }) })),
        make("select", { "aria-label": "show", value: chosen.which, onchange: event => choose({ which: event.target.value }) },
          chosen.ways.map(way => make("option", { value: way }, way)))],
      menu: showMenu(ui, setup),
      body: [
        make("div", { class: "qwr-track", "aria-hidden": "true" }, make("span", { css: { width: `${tally.rows ? 100 * tally.done / tally.rows : 0}%` } })),
        row.name === undefined ? make("p", { class: "qwr-none" }, "No such row.") : showRow(ui, row, setup)],
      foot: told ? showTally(tally) : null,
    };
  },
  drawn: ui => {
    const { local } = ui, row = ui.get("row");
    if (local.enters) {
      local.enters = false;
      const field = ui.find(".qwr-mend textarea, .qwr-mend input");
      if (field) { field.focus(); field.setSelectionRange(field.value.length, field.value.length); }
    }
    if (!local.waits || ui.get("turn") !== local.waits) return;
    local.waits = 0;
    if (local.busy) { local.busy = false; ui.redraw(); }
    if (local.fixing && (row.name !== local.fixing || (local.draft.trim() && (row.fix || "").trim() === local.draft.trim()))) leave(ui);
    if (local.ahead && local.ahead.length) press(ui, local.ahead.shift());
  },
  keys: (event, ui) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { local } = ui, at = event.target, field = at.matches("textarea, input:not([type=checkbox])");
    const toCome = local.ahead && local.ahead.includes("f"), typed = event.key.length === 1;
    if (!field && typed && (toCome || local.enters)) {  // of a correction whose field is not there yet
      event.preventDefault();
      if (toCome) local.ahead.push(event.key); else { local.draft += event.key; ui.redraw(); }
      return;
    }
    if (at.closest(".qwr-mend") && event.key === "Escape") { event.preventDefault(); leave(ui); }
    if (at.closest(".qwr-mend") && field && event.key === "Enter" && !event.shiftKey) { event.preventDefault(); save(ui); }
    if (field) return;
    const arrow = !at.matches("select") && { ArrowLeft: "p", ArrowRight: "n" }[event.key], letter = arrow || event.key.toLowerCase();
    if (!LETTERS.test(letter) || (local.fixing && at.closest(".qwr-mend"))) return;
    event.preventDefault();
    if (!event.repeat || letter === "n" || letter === "p") press(ui, letter);
  },
});
