// The chat: turns as bubbles, the message at the foot, all else behind "⋯".
const THINKING = ["model decides", "off", "on", "low", "medium", "high"];

// In JupyterLab and Notebook 7 the document of the notebook is at hand; elsewhere the code is copied.
function insertCell(ui, source, language) {
  const cells = ui.model.widget_manager?.context?.model?.sharedModel, id = ui.get("cell");
  const at = cells?.cells ? cells.cells.findIndex(one => (one.getId ? one.getId() : one.id) === id) : -1;
  if (at < 0) { copy(source); ui.tell("Copied: this front end lets no panel add a cell. Paste it into one."); return; }
  cells.insertCell(at + 1, { cell_type: "code", source: /^(bash|sh|shell|zsh)$/.test(language || "") ? `%%bash\n${source}` : source, metadata: {} });
  ui.tell("The code stands in a new cell below, and was not run.");
}

const calls = list => list.map((one, n) => make("details", { key: `call${n}`, class: "qw-call" },
  make("summary", {}, icon("tool"), make("span", { class: /^Not/.test(one.said) ? "qw-denied" : "qw-said" }, one.said), " ", make("code", {}, one.call)),
  make("pre", { tabindex: 0, role: "region", "aria-label": "What the tool gave" }, one.result)));

function thought(nodes, tokens, open, name) {
  if (!nodes.length) return null;
  return make("details", { key: `thought${open}`, class: "qw-thought", open }, make("summary", {}, name, tokens ? ` · ${tokens.toLocaleString("en")} tokens` : ""),
    make("blockquote", {}, text(nodes)));
}

const chips = (names, remove) => names.map((name, n) => make("span", { key: `${n}${name}`, class: "qw-chip" }, icon("attach"), name,
  remove && button(`Detach ${name}`, "close", () => remove(n))));

function bubble(ui, n, turn, busy) {
  if (ui.local.editing === n) return editor(ui, n, turn);
  return [make("div", { key: "you", class: "qw-you" }, make("span", { class: "qw-spoken" }, "You: "), make("p", { class: "qw-plain" }, turn.question),
    turn.attached.length ? make("div", { class: "qw-chips" }, chips(turn.attached)) : null),
  make("div", { key: "acts", class: "qw-acts qw-mine" },
    button(`Edit question ${n + 1}`, "edit", () => { ui.local.editing = n; ui.redraw(); ui.local.focus = ".qw-editor textarea"; }, { disabled: busy }),
    button("Copy this question", "copy", event => copy(turn.question, event.currentTarget)))];
}
function editor(ui, n, turn) {
  const leave = () => { delete ui.local.editing; ui.local.focus = `[data-turn="${n}"] .qw-mine button`; ui.redraw(); };
  const ask = () => { const words = ui.find(".qw-editor textarea").value; if (words.trim() && !ui.busy()) { ui.act("edit", { number: n, text: words }); leave(); } };
  return make("div", { key: "editor", class: "qw-editor" },
    make("textarea", { "aria-label": `Question ${n + 1}`, rows: 3, value: turn.question, onkeydown: event => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); ask(); }
      if (event.key === "Escape") { event.stopPropagation(); leave(); }
    } }),
    make("div", { class: "qw-row" }, make("span", { class: "qw-note" }, "What follows stays, as a branch of its own."), make("span", { class: "qw-gap" }),
      button("Cancel", null, leave, { text: "Cancel" }), button("Ask anew", null, ask, { text: "Ask anew", class: "qw-primary" })));
}

function answered(ui, n, turn, busy) {
  const failed = turn.ended && !turn.stopped;
  return [make("div", { key: "them", class: "qw-them" }, make("span", { class: turn.footer ? "qw-spoken" : "qw-who" }, turn.who), calls(turn.calls),
    thought(turn.thought, turn.thought_tokens, false, "Thought"), failed ? make("p", { class: "qw-failed" }, make("strong", {}, "Failed: "), turn.ended) : text(turn.nodes),
    turn.stopped ? make("p", { class: "qw-note" }, "Stopped: no part of the conversation.") : null),
  make("div", { key: "did", class: "qw-acts" }, make("span", { class: "qw-footer" }, turn.footer),
    turn.text ? button(`Copy answer ${n + 1}`, "copy", event => copy(turn.text, event.currentTarget)) : null,
    button(`Ask question ${n + 1} again`, "again", () => ui.act("again", { number: n }), { disabled: busy }),
    button(`Branch after answer ${n + 1}`, "branch", () => ui.act("branch", { number: n + 1 }), { disabled: busy }))];
}

function underWay(ui, asking) {
  const grown = ui.get("grown"), tail = ui.get("tail"), both = name => [...(grown[name] || []), ...(tail[name] || [])];
  const said = both("text"), waits = asking.waits;
  return make("article", { key: "growing", class: "qw-turn", "aria-busy": "true" }, bubbleOf(asking),
    make("div", { key: "them", class: "qw-them" }, make("span", { class: "qw-who" }, asking.who || "…"), calls(asking.calls),
      thought(both("thought"), 0, !said.length, said.length ? "Thought" : "Thinking …"), text(said), waits ? consent(ui, waits) : null,
      waits || said.length ? null : make("span", { class: "qw-dots", role: "img", "aria-label": "Waiting for the model" }, make("i"), make("i"), make("i"))));
}
const bubbleOf = turn => make("div", { key: "you", class: "qw-you" }, make("span", { class: "qw-spoken" }, "You: "), make("p", { class: "qw-plain" }, turn.question),
  turn.attached.length ? make("div", { class: "qw-chips" }, chips(turn.attached)) : null);

function consent(ui, call) {
  return make("div", { key: `consent${call.id}`, class: "qw-consent", role: "group", "aria-label": `The model wants to call ${call.name}` },
    make("p", {}, icon("tool"), make("span", {}, "The model wants to call ", make("strong", {}, call.name))),
    make("pre", { tabindex: 0, role: "region", "aria-label": "The call" }, make("code", {}, call.call)),
    make("div", { class: "qw-row" },
      button("Allow this call", null, () => ui.act("allow", { call: call.id }), { text: "Allow", class: "qw-primary" }),
      button(`Allow each call of ${call.name} until the kernel ends`, null, () => ui.act("allow", { call: call.id, always: true }), { text: "Always here" }),
      button("Deny this call", null, () => ui.act("deny", { call: call.id }), { text: "Deny" })));
}

function composer(ui) {
  const busy = ui.busy(), attached = ui.get("attached"), names = ui.get("names"), local = ui.local;
  const send = () => {
    const box = ui.find("[data-home]");
    if (busy || !(box.value.trim() || attached.length)) return;
    if (!ui.act("send", { text: box.value })) return;
    local.sent = box.value;
    box.value = "";
    grow(box);
    local.log.toEnd();
  };
  const attach = () => { const field = ui.find(".qw-named input"); if (field.value.trim()) ui.act("attach_name", { name: field.value }); field.value = ""; };
  return [
    attached.length ? make("div", { key: "chips", class: "qw-chips" }, chips(attached, number => ui.act("detach", { number }))) : null,
    local.attaching ? make("div", { key: "attach", class: "qw-row qw-named" },
      make("input", { "aria-label": "Name of a variable", placeholder: "a variable: frame, figure, text …", list: `${ui.id}-names`, onkeydown: event => {
        if (event.key === "Enter") { event.preventDefault(); attach(); }
      } }), make("datalist", { id: `${ui.id}-names` }, names.map(name => make("option", { value: name }))),
      button("Attach this variable", null, attach, { text: "Attach" }), button("Attach the figure that was drawn last", null, () => ui.act("attach_figure"), { text: "Last figure" }),
      button("Attach a picture of this computer", null, () => ui.find("input[type=file]").click(), { text: "Picture …" }),
      make("input", { type: "file", accept: "image/*", multiple: true, class: "qw-file", tabindex: -1, "aria-label": "Pictures", onchange: event => { take(ui, event.target.files); event.target.value = ""; } })) : null,
    make("div", { key: "box", class: "qw-composer" },
      button("Attach something", "attach", () => { local.attaching = !local.attaching; local.focus = local.attaching && ".qw-named input"; ui.redraw(); }, { "aria-expanded": String(!!local.attaching) }),
      make("textarea", { "data-home": "", rows: 1, "aria-label": "Your message", placeholder: "Ask something", oninput: event => grow(event.target), onkeydown: event => {
        if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
        event.preventDefault();
        send();
      } }),
      busy ? button("Stop this answer", "stop", () => ui.act("stop"), { class: "qw-round" }) : button("Send", "send", send, { class: "qw-round qw-primary" })),
    make("p", { key: "hint", class: "qw-hint" }, make("kbd", {}, "Enter"), " sends, ", make("kbd", {}, "Shift-Enter"), " breaks the line, ", make("kbd", {}, "Escape"), " stops"),
  ];
}
const grow = box => { box.style.height = "auto"; box.style.height = `${Math.min(box.scrollHeight + 2, 220)}px`; };
async function take(ui, files) {
  for (const file of files) if (file.type.startsWith("image/")) ui.act("attach_file", { name: file.name || "picture" }, [await file.arrayBuffer()]);
    else ui.tell("Only pictures can be dropped or pasted here. Attach anything else as a variable.");
}

function menu(ui) {
  const chosen = ui.get("settings"), tools = ui.get("tools");
  const keep = () => ui.act("save", { where: ui.find(".qw-where").value });
  return [
    make("label", { class: "qw-field" }, "Model", make("input", { "aria-label": "Model", value: chosen.model, placeholder: "the usual one", list: `${ui.id}-models`, onchange: event => ui.act("choose", { model: event.target.value }) })),
    make("datalist", { id: `${ui.id}-models` }, ui.get("models").map(name => make("option", { value: name }))),
    make("label", { class: "qw-field" }, "Thinking", make("select", { "aria-label": "Thinking", value: chosen.thinking, onchange: event => ui.act("choose", { thinking: event.target.value }) },
      THINKING.map(name => make("option", { value: name }, name)))),
    make("div", { class: "qw-row qw-end" }, make("label", { class: "qw-field" }, "Save as", make("input", { "aria-label": "Save as", class: "qw-where", placeholder: "name, chat.json or chat.md", onkeydown: event => { if (event.key === "Enter") keep(); } })),
      button("Save the conversation", null, keep, { text: "Save" })),
    button("Start over in a new branch", null, () => { ui.act("branch", { number: 0 }); ui.local.menu = false; }, { text: "Start over", disabled: ui.busy() || !ui.get("turns").length }),
    tools.length ? make("ul", { class: "qw-tools", "aria-label": "Tools" }, tools.map(tool => make("li", {}, make("code", {}, tool.name), " ", tool.about, " ",
      tool.always ? button(`Ask again before ${tool.name} runs`, null, () => ui.act("ask_again", { tool: tool.name }), { text: "always allowed: ask again" }) : null))) : null,
  ];
}

// What comes is said in pieces that end with a sentence or a line, every two seconds at most: the answer itself, and not the
// thought, calls and buttons beside it, which are read where they stand.
const sayable = ui => [...ui.find(".qw-turn:last-child .qw-them")?.childNodes || []]
  .filter(one => !one.matches?.(".qw-spoken, .qw-who, .qw-call, .qw-thought, .qw-consent, .qw-dots")).map(one => one.innerText ?? one.data).join("\n");
function announce(ui) {
  const asking = ui.get("asking"), local = ui.local, busy = ui.busy();
  if (busy && !local.was) { local.from = 0; ui.announce("Asked."); }
  if (busy && asking.waits && local.asked !== asking.waits.id) { local.asked = asking.waits.id; ui.announce(`The model wants to call ${asking.waits.name}. Allow or deny it, above your message.`); return; }
  if (busy && !asking.waits && Date.now() - (local.said || 0) > 2000) {
    const words = sayable(ui), end = Math.max(words.lastIndexOf(". "), words.lastIndexOf("\n")) + 1, from = local.from || 0;
    if (end > from + 20) { ui.announce(words.slice(from, end)); local.from = end; local.said = Date.now(); }
  }
  if (!busy && local.was) {
    const words = sayable(ui), from = local.from < words.length ? local.from : 0;
    ui.announce(words.slice(from, from + 4000) || "The answer has ended.");
  }
  local.was = busy;
}

export default panel({
  start(ui) {
    ui.busy = () => Object.keys(ui.get("asking")).length > 0;
    ui.id = `qw${Math.random().toString(36).slice(2)}`;
    codeButtons = (source, language) => [button("Insert as a new cell", "insert", () => insertCell(ui, source, language))];
    const over = yes => event => { event.preventDefault(); ui.root.classList.toggle("qw-over", yes); };
    ui.root.addEventListener("dragover", over(true));
    ui.root.addEventListener("dragleave", over(false));
    ui.root.addEventListener("drop", event => { over(false)(event); take(ui, event.dataTransfer.files); });
    ui.root.addEventListener("paste", event => { if (event.clipboardData.files.length) { event.preventDefault(); take(ui, event.clipboardData.files); } });
  },
  draw(ui) {
    const turns = ui.get("turns"), asking = ui.get("asking"), busy = ui.busy(), [here, count] = ui.get("branches");
    const go = step => ui.act("go_to", { branch: here + step });
    return {
      status: ui.get("summary"),
      actions: count > 1 ? make("span", { class: "qw-branches", role: "group", "aria-label": "Branches" },
        button("Previous branch", "left", () => go(-1), { disabled: busy || !here }), `Branch ${here + 1} of ${count}`,
        button("Next branch", "right", () => go(1), { disabled: busy || here + 1 === count })) : null,
      menu: menu(ui),
      body: [
        make("div", { key: "log", class: "qw-log", tabindex: 0, role: "region", "aria-label": "Conversation" },
          turns.length || busy ? null : make("div", { key: "none", class: "qw-none" }, make("p", {}, make("strong", {}, "Nothing was asked yet.")),
            make("p", {}, "Attach frames, figures or texts by their names; drop or paste pictures.")),
          turns.map((turn, n) => make("article", { key: turn.id, same: [n, busy, ui.local.editing === n].join(), class: "qw-turn", "data-turn": n }, bubble(ui, n, turn, busy), answered(ui, n, turn, busy))),
          busy ? underWay(ui, asking) : null),
        make("div", { key: "end" }, ui.local.log && !ui.local.log.follows ? button("To the end", "down", () => { ui.local.log.toEnd(); ui.redraw(); }, { class: "qw-toend" }) : null),
      ],
      foot: composer(ui),
    };
  },
  drawn(ui) {
    const log = ui.find(".qw-log");
    if (!ui.local.log) {
      ui.local.log = follow(log);
      let was = true;
      log.addEventListener("scroll", () => { if (was !== ui.local.log.follows) { was = ui.local.log.follows; ui.redraw(); } }, { passive: true });
    }
    ui.local.log.drawn();
    if (ui.local.focus) { ui.find(ui.local.focus)?.focus(); ui.local.focus = null; }
    if (ui.busy()) ui.local.sent = "";
    announce(ui);
  },
  unheard(ui) {
    const box = ui.find("[data-home]");
    if (!box.value && ui.local.sent) box.value = ui.local.sent;
  },
  keys(event, ui) {
    if (event.key === "Escape" && event.target.closest(".qw-named")) {
      ui.local.attaching = false;
      ui.find("[data-home]").focus();
      ui.redraw();
    } else if (event.key === "Escape" && ui.busy()) ui.act("stop");
  },
});
