/**
 * Syntax colour for what asks, in JupyterLab 4 and Notebook 7: cells of `%%qwen`, lines of `%qwen`.
 *
 * To the editor such a cell is Python, and broken: an apostrophe begins a string, "for" is a keyword. Here the prompt is
 * text, and what stands between double braces an expression:
 *
 *     %%qwen -m plus --into summary        the magic, its options
 *     Don't compare {{ df.head(3) }} …     text, braces, expression
 *
 * JupyterLab loads a prebuilt extension as a container of module federation: `init` is handed what the page shares, `get`
 * gives the plugin. A bundler writes such a container around anything; this one is written by hand, so what is served is
 * what stands here, and nobody needs a tool chain. `poe colour` writes its hash into package.json, by which a browser
 * knows that it has changed.
 *
 * It only marks what is seen, on top of what the editor has coloured. Whatever fails is said once in the console, and the
 * cell looks as it would without this.
 */
(() => {
  "use strict";
  const LONGEST = 10_000; // characters of an expression, as in qwennb/request/template.py
  const MAGIC = /^%%qwen(?=\s|$)/, LINE = /^\s*%qwen(?=\s|$)/;
  const WORD = /(--?[A-Za-z][\w-]*)(?=[\s=]|$)|("[^"]*"|'[^']*')(?=\s|$)|\S+/g; // an option, what is quoted, another
  const TOKEN = /("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|\b\d[\w.]*/g; // in an expression: a string, a number
  const STRING = /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/y;
  // The theme's own colours of code; what stands behind them is for a theme that lacks one.
  const COLOURS = {
    magic: "var(--jp-mirror-editor-operator-color, #7800c2)",
    option: "var(--jp-mirror-editor-property-color, #05a)",
    prompt: "var(--jp-mirror-editor-variable-color, inherit)",
    brace: "var(--jp-mirror-editor-keyword-color, green)",
    expression: "var(--jp-mirror-editor-property-color, #05a)",
    string: "var(--jp-mirror-editor-string-color, #ba2121)",
    number: "var(--jp-mirror-editor-number-color, #080)",
  };

  /** Mark the magic and the options that stand at its front; give where the prompt begins, and whether braces are text. */
  function markLine(text, magic, mark) {
    mark("magic", magic.length - magic.trimStart().length, magic.length);
    let end = magic.length, follows = false, raw = false;
    for (const { 0: word, 1: option, 2: quoted, index } of text.slice(end).matchAll(WORD)) {
      if (!option && !follows) break; // neither an option nor its value: all from here on is prompt
      const from = magic.length + index, to = from + word.length;
      if (option || quoted) {
        mark("prompt", end, from);
        mark(option ? "option" : "string", from, to);
        end = to;
      }
      raw ||= option === "--raw";
      follows = Boolean(option);
    }
    return [end, raw];
  }

  /** Mark the prompt from `end` on, and the expressions in it. */
  function markPrompt(text, end, raw, mark) {
    for (let start = end; !raw && (start = text.indexOf("{{", start)) >= 0; ) {
      const inside = start + 2, close = findClose(text, inside);
      const isOuter = text[inside] === "{" && findClose(text, inside + 1) >= 0; // `{{{ x }}}`: the outer brace is text
      if (close < 0 || isOuter) {
        start += 1;
        continue;
      }
      mark("prompt", end, start);
      mark("brace", start, inside);
      let past = inside;
      for (const token of text.slice(inside, close).matchAll(TOKEN)) {
        mark("expression", past, inside + token.index);
        past = inside + token.index + token[0].length;
        mark(token[1] ? "string" : "number", inside + token.index, past);
      }
      mark("expression", past, close);
      mark("brace", close, close + 2);
      start = end = close + 2;
    }
    mark("prompt", end, text.length);
  }

  /** Find the two braces that close the expression which begins at `from` and stand in no bracket and no string of it. */
  function findClose(text, from) {
    const last = Math.min(text.length, from + LONGEST);
    if (/^\s*(\d|\}\}|$)/.test(text.slice(from, from + 80))) return -1;
    for (let at = from, open = 0; at < last; at++) {
      const sign = text[at];
      if (sign === '"' || sign === "'") {
        STRING.lastIndex = at;
        const string = STRING.exec(text);
        if (!string) return -1;
        at += string[0].length - 1;
      } else if (open === 0 && text.startsWith("}}", at)) return at;
      else if ("([{".includes(sign)) open++;
      else if (")]}".includes(sign) && --open < 0) return -1;
      else if (text.startsWith("\n\n", at)) return -1;
    }
    return -1;
  }

  /** Mark what is seen of the document. */
  function markSeen(view, mark) {
    const { doc } = view.state;
    const head = firstLine(doc);
    const seen = view.visibleRanges.map(({ from, to }) => [doc.lineAt(from).from, to]);
    const magic = head && MAGIC.exec(head.text.slice(0, 80));
    if (magic) {
      const [end, raw] = markLine(head.text.slice(0, LONGEST), magic[0], (kind, from, to) =>
        mark(kind, head.from + from, head.from + to));
      for (const [from, to] of seen) {
        const start = Math.max(from, head.from + end);
        if (start < to) markPrompt(doc.sliceString(start, to), 0, raw, (kind, a, b) => mark(kind, start + a, start + b));
      }
      return;
    }
    for (const [from, to] of seen) {
      for (let at = from; at <= to; ) {
        const line = doc.lineAt(at), found = LINE.exec(line.text.slice(0, 200));
        if (found) {
          const here = (kind, a, b) => mark(kind, line.from + a, line.from + b), text = line.text.slice(0, LONGEST);
          markPrompt(text, ...markLine(text, found[0], here), here);
        }
        at = line.to + 1;
      }
    }
  }

  /** The first line that is not empty: IPython finds the magic of a cell there. */
  function firstLine(doc) {
    for (let number = 1; number <= Math.min(doc.lines, 50); number++) {
      const line = doc.line(number);
      if (line.length) return line;
    }
    return null;
  }

  let hasFailed = false;
  function fail(error) {
    if (!hasFailed) console.warn("qwennb: cells are shown without colours of their own.", error);
    hasFailed = true;
  }

  /** Build what an editor of `model` is extended by. */
  function extend({ RangeSetBuilder, Prec }, { Decoration, EditorView, ViewPlugin }) {
    const kinds = {}, theme = {};
    for (const [kind, color] of Object.entries(COLOURS)) {
      kinds[kind] = Decoration.mark({ class: `qwennb-${kind}` });
      const fontWeight = kind === "brace" || kind === "magic" ? "bold" : "normal";
      theme[`.qwennb-${kind}`] = { color, fontWeight, fontStyle: "normal" };
    }
    const look = (view, model) => {
      if (hasFailed || !/\/x-i?python$/.test(model.mimeType)) return Decoration.none;
      try {
        const built = new RangeSetBuilder();
        markSeen(view, (kind, from, to) => from < to && built.add(from, to, kinds[kind]));
        return built.finish();
      } catch (error) {
        fail(error);
        return Decoration.none;
      }
    };
    return model => [
      EditorView.baseTheme(theme),
      // Of marks over one text the one of highest rank is innermost: its colour is seen.
      Prec.highest(ViewPlugin.define(view => ({
        decorations: look(view, model),
        language: model.mimeType,
        update({ docChanged, viewportChanged }) {
          if (!docChanged && !viewportChanged && this.language === model.mimeType) return;
          this.language = model.mimeType;
          this.decorations = look(view, model);
        },
      }), { decorations: plugin => plugin.decorations })),
    ];
  }

  let shared = {};

  /** Take a module that the page shares: the version that is in use, or the newest. */
  async function take(name) {
    const versions = shared[name] ?? {};
    const newest = Object.keys(versions).sort((one, other) => other.localeCompare(one, undefined, { numeric: true }));
    const version = newest.find(one => versions[one].loaded) ?? newest[0];
    if (version === undefined) throw new Error(`${name} is not shared by this page`);
    return (await versions[version].get())();
  }

  async function makePlugin() {
    const [editors, state, view] = await Promise.all(
      ["@jupyterlab/codemirror", "@codemirror/state", "@codemirror/view"].map(take));
    const extension = extend(state, view);
    // An editor refuses extensions of another CodeMirror than its own, and would not open: try it first.
    state.EditorState.create({ extensions: [editors.jupyterTheme, extension({ mimeType: "" })] });
    return {
      id: "qwennb:colour",
      description: "Colours for cells that ask: %%qwen.",
      autoStart: true,
      requires: [editors.IEditorExtensionRegistry],
      activate: (_, registry) => {
        registry.addExtension({
          name: "qwennb:colour",
          factory: ({ model }) => {
            const made = extension(model);
            return { instance: () => made, reconfigure: () => null };
          },
        });
      },
    };
  }

  const nothing = { id: "qwennb:colour", autoStart: true, activate: () => {} };
  (globalThis._JUPYTERLAB ??= {}).qwennb = {
    init: scope => { shared = scope; },
    get: async () => {
      const plugin = await makePlugin().catch(error => (fail(error), nothing));
      return () => ({ __esModule: true, default: plugin });
    },
  };
})();
