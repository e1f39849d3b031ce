// The playground: the prompt, a head for each variant with a control for each of its options, and the grid below.
const FORMS = { cell: "%%qwen cell", column: "column call", curl: "curl command" };
const LETTERS = "ABCDEFGH";
const written = (ui, name) => name in ui.local ? ui.local[name] : ui.get(name);
const fields = ui => ({ prompt: written(ui, "prompt"), typed: written(ui, "typed"), rows: Math.round(Number(written(ui, "rows"))) || 1 });
const run = ui => { if (!ui.get("running")) ui.act("run", fields(ui)); };

// A field whose text is the page's own until Python has it.
function field(ui, name, tag, label, props) {
  if (name in ui.local && String(ui.local[name]) === String(ui.get(name))) delete ui.local[name];
  return make("label", { key: name, class: "qw-field" }, label, make(tag, {
    value: String(written(ui, name)), oninput: event => { ui.local[name] = event.target.value; },
    onchange: () => ui.act("write", fields(ui)), ...props,
  }));
}

function control(ui, at, one) {
  const set = value => ui.act("change", { variant: at, name: one.name, value });
  const text = (props, tag = "input") => make(tag, { value: one.value ?? "", onchange: event => set(event.target.value), ...props });
  const number = (value, props) => make("input", { type: "number", value: value ?? "", placeholder: "left alone",
    onchange: event => set(event.target.value === "" ? null : Number(event.target.value)), ...props });
  if (one.kind === "number") return named(one.name, number(one.value, { min: one.low, max: one.high, step: one.step }));
  if (one.kind === "thinking") return [
    named("thinking", make("select", { "aria-label": "thinking", value: one.value, onchange: event => set(event.target.value || null) },
      ["", ...one.ways].map(way => make("option", { key: way, value: way }, way || "as the model likes")))),
    one.tokens && named("thinking tokens", number(one.tokens, { min: 1, max: one.high })),
  ];
  if (one.kind === "switch") return make("label", { key: one.name, class: "qw-switch" },
    make("input", { type: "checkbox", checked: one.value, onchange: event => set(event.target.checked) }), one.name);
  return named(one.name, text({ placeholder: one.hint, rows: one.kind === "long" ? 2 : null }, one.kind === "long" ? "textarea" : "input"), one.kind === "long");
}
const named = (name, made, wide) => make("label", { key: name, class: wide ? "qw-field qw-wide" : "qw-field" }, name, made);

function head(ui, at, one, alone) {
  const open = ui.local.open === at;
  return make("div", { key: one.letter, role: "columnheader", class: "qw-variant" },
    make("div", { class: "qw-variant-line" }, make("strong", {}, one.letter),
      make("select", { "aria-label": `Model ${one.letter}`, value: one.model, title: `at ${one.place}`,
        onchange: event => ui.act("change", { variant: at, name: "model", value: event.target.value }) },
      one.models.map(model => make("option", { key: model, value: model }, model))),
      button(`Settings ${one.letter}`, "edit", () => { ui.local.open = open ? null : at; ui.redraw(); }, { "aria-expanded": String(open) }),
      !alone && button(`Remove ${one.letter}`, "close", () => { ui.local.open = null; ui.act("remove", { variant: at }); })),
    make("div", { class: "qw-small" }, [one.summary, one.system && `system: ${one.system}`].filter(Boolean).join(", ") || "as the model likes"),
    one.problem && make("div", { class: "qw-small qw-problem", role: "alert" }, one.problem),
    open && make("div", { key: "settings", class: "qw-settings", role: "group", "aria-label": `Settings ${one.letter}` },
      make("div", { class: "qw-small qw-wide" }, `at ${one.place}`),
      [{ name: "system", kind: "long", value: one.system, hint: "none" }, ...one.controls].map(each => control(ui, at, each))));
}

function cell(ui, name, one) {
  const told = { same: "= A", other: "≠ A" }[one.state], length = one.pieces.reduce((sum, [piece]) => sum + piece.length, 0);
  return make("div", { key: name, role: "cell", class: `qw-cell qw-${one.state || "first"}` },
    make("div", { class: "qw-answer", ...(length > 300 ? { tabindex: 0, role: "group", "aria-label": `Answer ${name}` } : {}) },
      one.state === "waiting" ? "…" : one.pieces.map(([piece, marked]) => marked ? make("mark", {}, piece) : piece)),
    make("div", { class: "qw-small qw-cell-foot" }, make("span", {}, one.figures), make("span", { class: "qw-gap" }),
      told && make("span", { class: "qw-told", title: one.state === "same" ? "The same as A" : "Differs from A" }, told),
      button(`Copy ${name} as a %%qwen cell`, "copy", () => ui.act("copy", { cell: name, form: "cell" }))));
}

function grid(ui) {
  const variants = ui.get("variants"), { rows = [], totals = [] } = ui.get("grid");
  const wide = Math.max(variants.length, totals.length);
  return make("div", { class: "qw-scrolled", tabindex: 0, role: "group", "aria-label": "Settings and answers" },
    make("div", { role: "table", class: "qw-grid", "aria-label": "Settings and answers", css: { "--qw-wide": String(wide) } },
      make("div", { key: "heads", role: "row" }, make("div", { role: "columnheader", class: "qw-small" }, "input"),
        variants.map((one, at) => head(ui, at, one, variants.length === 1))),
      rows.map((row, at) => make("div", { key: at, role: "row" },
        make("div", { key: "input", role: "rowheader", class: "qw-input" }, make("span", { class: "qw-small" }, `${at + 1}`), row.input),
        row.cells.map((one, of) => cell(ui, `${LETTERS[of]}${at + 1}`, one)))),
      rows.length > 0 && make("div", { key: "totals", role: "row", class: "qw-totals" }, make("div", { role: "rowheader" }, "together"),
        totals.map((told, at) => make("div", { key: at, role: "cell" }, told)))));
}

function menu(ui) {
  const names = [];
  for (let row = 1; row <= ui.get("rows"); row++) ui.get("variants").forEach(one => names.push(`${one.letter}${row}`));
  const chosen = names.includes(ui.local.cell) ? ui.local.cell : names[0];
  return [
    field(ui, "rows", "input", "rows", { type: "number", min: 1, max: ui.get("most") }),
    make("label", { class: "qw-field" }, "cell", make("select", { "aria-label": "cell", value: chosen, onchange: event => { ui.local.cell = event.target.value; } },
      names.map(name => make("option", { key: name, value: name }, name)))),
    Object.entries(FORMS).map(([form, words]) => button(`Copy as ${words}`, null, () => ui.act("copy", { cell: ui.local.cell || chosen, form }), { text: `Copy as ${words}` })),
  ];
}

function copied(ui) {
  const { cell: name, form, text: source } = ui.get("copied");
  return source && make("div", { key: "copied", class: "qw-copied" }, code(`${name} as ${FORMS[form]}${ui.local.filled ? ", copied" : ""}`, source));
}

export default panel({
  draw: ui => ({
    status: ui.get("status"),
    actions: [
      button("Add settings", "insert", () => ui.act("add"), { disabled: ui.get("variants").length === LETTERS.length }),
      ui.get("running") ? button("Stop", "stop", () => ui.act("stop"), { key: "go", text: "Stop" })
        : button("Run", null, () => run(ui), { key: "go", text: "Run", class: "qw-primary", title: "Ask every cell (Ctrl+Enter)", "aria-keyshortcuts": "Control+Enter" }),
    ],
    menu: menu(ui),
    body: [
      make("div", { class: "qw-asked" },
        field(ui, "prompt", "textarea", "prompt", { rows: 3, placeholder: "{{ name }} puts an input in", "data-home": "" }),
        ui.get("typed") !== null && field(ui, "typed", "textarea", "inputs", { rows: 3,
          placeholder: 'one a line; for a prompt with several names, JSON objects: {"name": "…"}' })),
      grid(ui), copied(ui),
    ],
  }),
  drawn: ui => {
    const status = ui.get("status"), { text: source } = ui.get("copied");
    if (ui.local.status !== status && !ui.get("running")) ui.announce(status);
    ui.local.status = status;
    if (ui.local.source === source) return;
    Object.assign(ui.local, { source, filled: false });
    if (!source) return;
    ui.find(".qw-copied pre").focus();  // Ctrl+A and Ctrl+C take it, where the page may not fill the clipboard
    navigator.clipboard?.writeText(source).then(() => { ui.local.filled = true; ui.redraw(); ui.announce("Copied."); }, () => {});
  },
  keys: (event, ui) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(ui); }
    const settings = event.target.closest(".qw-variant");
    if (event.key === "Escape" && ui.get("running")) ui.act("stop");
    else if (event.key === "Escape" && settings && typeof ui.local.open === "number") {
      ui.local.open = null;
      settings.querySelector("[aria-expanded]").focus();
      ui.redraw();
    }
  },
});
