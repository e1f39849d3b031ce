// A run in one line: how far, how fast, what it costs, and Stop. The other figures stand behind ⋯.
export default panel({
  start: ui => ui.root.classList.add("qw-run"),
  draw: ui => {
    const { share = 0, line = [], figures = {}, note, stops } = ui.get("shown");
    return {
      status: [make("progress", { value: share, max: 1, "aria-label": "How much of the run is done" }),
        line.filter(Boolean).map((one, at) => make("span", { key: at }, one))],
      actions: button("Stop", "stop", () => ui.act("stop"), { text: stops === "stopping" ? "Stopping …" : "Stop", disabled: stops !== "heard",
        title: "Stop this run: what is finished is kept, and the same call asks only for the rest." }),
      menu: make("div", { class: "qw-figures" }, Object.entries(figures).map(([name, figure]) =>
        make("div", { key: name }, make("span", {}, `${name} `), figure))),
      body: [note, stops !== "heard" && stops !== "stopping" && stops].filter(Boolean).map(said => make("p", { class: "qw-note" }, said)),
      gone: "The kernel is gone, and this run with it. What was finished is kept: the same call asks only for the rest.",
    };
  },
});
