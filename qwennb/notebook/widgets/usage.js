// What was spent: three switches, a table with its sum, and how much of the budget is gone.
const LABELS = { by: "By", since: "Since", notebook: "Notebook" };
const HEADS = ["requests", "tokens in", "tokens out", "cost"];

export default panel({
  draw: ui => {
    const { chosen = {}, ...switches } = ui.get("switches"), { head, rows = [], shares = [] } = ui.get("table"), budget = ui.get("budget");
    return {
      status: budget.told,
      actions: budget.share !== undefined && budget.limited && make("progress", { value: budget.share, max: 1, "aria-label": "How much of the budget is spent" }),
      body: [
        make("div", { class: "qw-switches" }, Object.entries(LABELS).map(([name, label]) => make("label", { key: name, class: "qw-field" }, label,
          make("select", { "aria-label": label, value: chosen[name], onchange: event => ui.act("choose", { switch: name, value: event.target.value }) },
            (switches[name] || []).map(one => make("option", { key: one, value: one }, one)))))),
        rows.length === 0 ? make("p", { class: "qw-note qw-nothing" }, "Nothing was asked in this time.")
          : make("div", { class: "qw-table", tabindex: 0, role: "region", "aria-label": "What was spent" }, make("table", {},
            make("thead", {}, make("tr", {}, make("th", { scope: "col" }, head), HEADS.map(name => make("th", { scope: "col", class: "qw-right" }, name)))),
            make("tbody", {}, rows.map(([name, ...figures], at) => make("tr", { key: name, class: at === rows.length - 1 ? "qw-sum" : "" },
              make("th", { scope: "row" }, name), figures.map((figure, of) => make("td", { class: "qw-right" }, figure,
                of === figures.length - 1 && shares[at] > 0 && make("div", { class: "qw-share", css: { width: `${100 * shares[at]}%` } })))))))),
      ],
    };
  },
});
