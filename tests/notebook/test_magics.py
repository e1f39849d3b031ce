"""`%qwen` and `%%qwen` in a real kernel: what is typed is what is asked."""

from __future__ import annotations

import base64
import json

import pytest

from qwennb.notebook.options import OPTIONS
from tests.notebook.conftest import body, no_colours


def asked(sim) -> str:
    content = body(sim)["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(p.get("text", "") for p in content)


@pytest.mark.slow
def test_a_line_is_asked_as_it_is_typed(kernel, sim, script):
    for typed in (
        "what's this?",
        'say "hi" -- and go?',
        "is it -m or --model?",
        "{'a': {1: 2}} \\frac{1}{2} f'{x}'",
        "two  spaces ??",
    ):
        script("yes")
        assert kernel.run(f"%qwen {typed}").status == "ok"
        assert asked(sim) == typed


def test_a_cell_is_asked_as_it_is_typed(kernel, sim, script):
    script("yes")
    prompt = 'const f = (x) => { return {} }; {"a": {"b": 1}}\n$\\frac{1}{2}$ {1} $HOME !ls'
    assert kernel.run(f"%%qwen\n{prompt}").status == "ok"
    assert asked(sim) == prompt
    doubled = "const f = (x) => { return {{}} }; {{1}} {{ a b }}"
    ran = kernel.run(f"%%qwen\n{doubled}")
    assert ran.error["evalue"] == '`{{}}` names nothing. Two braces as text: --raw, or {{ "{{" }}.'
    assert kernel.run(f"%%qwen --raw\n{doubled}").status == "ok"
    assert asked(sim) == doubled


@pytest.mark.slow
def test_an_expression_travels_as_what_it_is(kernel, sim, script):
    kernel.run(
        "import polars as pl, numpy as np\nfrom PIL import Image as I\nx = 41\ndf = pl.DataFrame({'a': [1, 2]})\n"
        "pic = I.new('RGB', (32, 32), 'red')\narr = np.zeros((32, 32, 3), dtype='uint8')\n"
        "class Told:\n    def _ai_repr_(self, **kw): return {'text/plain': 'told so'}\ntold = Told()"
    )
    script("yes")
    assert kernel.run("%%qwen\n{{ x + 1 }} {{ told }} {{ In[1][:9] }}\n{{ df }}").status == "ok"
    assert asked(sim).startswith("42 told so %load_ext\n") and "2 rows × 1 columns" in asked(sim)
    for name in ("pic", "arr"):
        script("red")
        assert kernel.run(f"%qwen what is {{{{ {name} }}}}").status == "ok"
        [image] = [p for p in body(sim)["messages"][-1]["content"] if p["type"] == "image_url"]
        assert base64.b64decode(image["image_url"]["url"].partition(",")[2])


def test_a_name_that_is_not_there_names_the_nearest(kernel):
    kernel.run("summary = 1")
    ran = kernel.run("%qwen about {{ sumary }}")
    assert ran.error["ename"] == "TemplateError" and "`summary`" in ran.error["evalue"]


def test_an_unknown_option_names_the_nearest_in_one_line(kernel):
    ran = kernel.run("%%qwen --temprature 1\nhi")
    assert ran.status == "error"
    assert ran.error["traceback"] == [f"BadInput: {ran.error['evalue']}"]
    assert "`--temperature`" in ran.error["evalue"]


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("-m plus", "model", "qwen/qwen3.5-plus-20260420"),
        ("--temperature 0.5", "temperature", 0.5),
        ("--top-p=0.9", "top_p", 0.9),
        ("--max-tokens 900", "max_tokens", 900),
        ("--seed 7", "seed", 7),
        ("--param presence_penalty=0.5", "presence_penalty", 0.5),
        ("--param extra.min_tokens=3", "min_tokens", 3),
        ("--think high", "reasoning", {"effort": "high"}),
    ],
)
def test_an_option_is_seen_in_the_request(kernel, sim, script, line, field, value):
    script("yes")
    ran = kernel.run(f"%qwen {line} option {line.replace('-', '')}")
    assert ran.status == "ok", ran.outputs
    seen = body(sim)[field]
    assert seen == value or (isinstance(value, dict) and value.items() <= seen.items())


@pytest.mark.slow
def test_a_system_text_a_schema_and_choices_are_sent(kernel, sim, script):
    kernel.run("import pydantic\nclass Person(pydantic.BaseModel):\n    name: str\n    age: int")
    script('{"name": "Ada", "age": 36}')
    ran = kernel.run("%%qwen --system 'Be brief.' --schema Person --into ada\nWho?")
    assert body(sim)["messages"][0]["content"].startswith("Be brief.")
    assert "| name | Ada |" in ran.markdown and kernel.value("ada.data") == "name='Ada' age=36"
    script("yes")
    assert kernel.run("%qwen --choices 'yes, no' --into said Right?").status == "ok"
    assert kernel.value("said.data") == "yes"


def test_into_binds_the_answer_and_quiet_shows_nothing(kernel, script):
    script("forty-two")
    ran = kernel.run("%qwen --quiet --into answer what is the answer")
    assert ran.outputs == []
    assert kernel.value("type(answer).__name__, str(answer), answer.finish_reason") == "Answer forty-two stop"


def test_raw_fills_nothing_in(kernel, sim, script):
    script("ok")
    kernel.run("%qwen --raw keep {{ x }}")
    assert asked(sim) == "keep {{ x }}"


@pytest.mark.slow
def test_a_plan_sends_nothing(kernel, sim, script):
    script()
    ran = kernel.run("%qwen --plan how much is this")
    assert "to ask of qwen3.5-flash" in ran.plain and sim.ledger.count("asked") == 0
    assert ran.outputs[0]["metadata"] == {"qwennb": {"state": "plan"}}


def test_cache_modes_by_option(kernel, sim, script):
    script("one", "two", "three")
    said = [
        kernel.run(f"%qwen {mode} modes").plain.split("\n")[0]
        for mode in ("", "", "--refresh", "", "--no-cache", "--replay")
    ]
    assert said == ["one", "one", "two", "two", "three", "two"]
    assert kernel.run("%qwen --replay never asked").error["ename"] == "NotRecorded"


def test_defaults_come_from_config(kernel, sim, script):
    script("a", "b")
    kernel.run("%config QwenMagics.temperature = 0.25\n%config QwenMagics.model = 'plus'")
    try:
        kernel.run("%qwen by config")
        assert (body(sim)["temperature"], body(sim)["model"]) == (0.25, "qwen/qwen3.5-plus-20260420")
        kernel.run("%qwen --temperature 1 by option")
        assert body(sim)["temperature"] == 1
    finally:
        kernel.run("%config QwenMagics.temperature = None\n%config QwenMagics.model = None")


def test_help_explains_every_option(kernel):
    for code in ("%qwen?", "%%qwen?"):
        page = no_colours(kernel.inspect(code))
        for option in OPTIONS:
            assert str(option) in page and option.about[:40] in page


def test_tab_completes_options_and_their_values(kernel):
    assert kernel.complete("%%qwen --th") == ["--think"]
    assert kernel.complete("%%qwen --think ") == ["low", "medium", "high"]
    assert set(kernel.complete("%qwen --no")) == {"--no-think", "--no-cache"}
    assert "plus" in kernel.complete("%qwen -m pl") and "dashscope-intl" in kernel.complete(
        "%qwen --endpoint dash"
    )
    assert "--temperature" in kernel.complete("%%qwen --tem\nbody", at=len("%%qwen --tem"))
    kernel.run("def look_up(x: int) -> int:\n    'Looks up.'\n    return x")
    assert kernel.complete("%qwen --tools look") == ["look_up"]
    assert kernel.complete("%qwen_sent --") == ["--as"]
    assert kernel.complete("x = 1\n%qwen_sent --as ") == ["curl", "python", "http", "postman"]
    assert kernel.complete("%qwen_sent --as po") == ["postman"]


def test_the_last_error_and_its_cell_are_sent_to_be_fixed(kernel, sim, script):
    kernel.run("def bad(rows):\n    return rows['total']\nbad([1, 2])")
    script("Use a dict.")
    assert kernel.run("%qwen_fix").status == "ok"
    assert (
        "return rows['total']" in asked(sim)
        and "TypeError" in asked(sim)
        and "/" not in asked(sim).split("```")[3]
    )


@pytest.mark.slow
def test_the_last_figure_is_looked_at(kernel, sim, script):
    kernel.run(
        "import matplotlib; matplotlib.use('agg')\nimport matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\nfigure = plt.gcf()"
    )
    script("A line.")
    assert kernel.run("%qwen_look is it rising?").status == "ok"
    assert asked(sim) == "is it rising?" and any(
        p["type"] == "image_url" for p in body(sim)["messages"][-1]["content"]
    )


def test_the_last_figure_is_found_though_the_notebook_has_shown_and_closed_it(kernel, sim, script):
    kernel.run("%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.close('all')\nplt.bar([1], [2]);")
    assert kernel.run("print(plt.get_fignums())").printed.strip() == "[]"
    script("A bar.")
    assert kernel.run("%qwen_look what is it?").status == "ok"
    assert any(p["type"] == "image_url" for p in body(sim)["messages"][-1]["content"])


def test_what_was_sent_and_spent_can_be_seen(kernel, script):
    script("ok")
    kernel.run("%qwen a question of mine")
    assert '"content": "a question of mine"' in kernel.run("%qwen_sent").plain
    assert "qwen3.5-flash" in kernel.run("%qwen_usage").plain
    assert "qwen3.5-plus" in kernel.run("%qwen_models openrouter").plain
    assert kernel.run("%qwen_cache").plain.startswith("mode     on")
    assert "api_key      set" in kernel.run("%qwen_config").plain


def test_what_was_sent_is_of_the_last_request_of_a_cell_a_call_or_a_column(kernel, sim, script):
    script("a", "b", "c", "d")
    kernel.run("%qwen of a cell")
    kernel.run("from qwennb import Qwen\nasked = Qwen().ask('of a call,\\nin two lines')")
    shown = kernel.run("%qwen_sent")
    assert json.loads(shown.plain)["messages"][-1]["content"] == "of a call,\nin two lines"
    assert shown.markdown.startswith(
        "**user**\n\n<samp>\n\n```text\nof a call,\nin two lines\n```\n\n</samp>\n\n|"
    )
    kernel.run("import polars as pl\n_ = pl.DataFrame({'n': [7]}).qwen.ask('of row {{ n }}')")
    assert "of row 7" in kernel.run("%qwen_sent").plain
    kernel.run("%qwen of a cell")
    assert "of a cell" in kernel.run("%qwen_sent").plain, "from memory too"
    sim.fault("500")
    try:
        kernel.run("%qwen --no-cache --param timeout=1 of one that fails")
    finally:
        sim.reset()
    assert "of one that fails" in kernel.run("%qwen_sent").plain


def test_a_magic_cell_is_given_on_as_it_was_typed(kernel, sim, script):
    script("ok", "ok")
    number = int(kernel.value("len(In)"))
    kernel.run("%%qwen --temperature 0.5\nsay this")
    kernel.run(f"%qwen what did {{{{ In[{number}] }}}} ask?")
    assert body(sim)["messages"][-1]["content"] == "what did %%qwen --temperature 0.5\nsay this ask?"
    assert (
        "Nothing is stale" in kernel.run("%qwen_stale").plain
        or f"In[{number}]" not in kernel.run("%qwen_stale").plain
    )


def test_choices_that_are_no_list_of_the_notebook_are_told_as_that(kernel):
    kernel.run("sorts = ['a', 'b']")
    told = kernel.run("%qwen --choices sort Which?").error["evalue"]
    assert told.startswith("--choices sort: the notebook has no `sort`; did you mean `sorts`?")
    assert '--choices "yes, no"' in told


def test_tab_knows_the_words_of_the_line_magics_and_says_what_each_is(kernel):
    assert kernel.complete("%qwen_cache re") == ["refresh", "replay"]
    assert kernel.complete("%qwen_cache ") == ["on", "refresh", "replay", "off"]
    kernel.run("class Order:\n    pass\nfrom PIL import Image as I\nshot = I.new('RGB', (8, 8))")
    assert "Order" in kernel.complete("%qwen --schema ") and "shot" in kernel.complete("%qwen --image ")
    assert "openrouter" in kernel.complete("%qwen_models open") and kernel.complete("%qwen_chat li") == [
        "list"
    ]
    assert kernel.complete("%qwen_sent --as cu") == ["curl"] and kernel.complete("%qwen_usage n") == [
        "notebook"
    ]
    reply = kernel.client.complete("%qwen --temp", 12, reply=True, timeout=120)["content"]
    [one] = reply["metadata"]["_jupyter_types_experimental"]
    assert one["type"].replace("\u00a0", " ") == "how freely to draw, 0 to 2"


def test_code_goes_into_the_next_cell_and_is_shown(kernel, script):
    script("So:\n\n```python\nprint(1)\n```\nDone.")
    ran = kernel.run("%qwen --code print one")
    assert [p["text"] for p in ran.payload if p["source"] == "set_next_input"] == ["print(1)"]
    assert "```python\nprint(1)\n```" in ran.markdown


@pytest.mark.slow
def test_config_sets_the_endpoint_the_mode_the_budget_and_the_time_limit(kernel, sim, script):
    script(*["said"] * 9)

    def refused(setting: str, value: object) -> dict[str, str]:
        kernel.run(f"%config QwenMagics.{setting} = {value!r}")
        try:
            return kernel.run("%qwen by another setting").error
        finally:
            kernel.run(f"%config QwenMagics.{setting} = None")

    assert "did you mean `vllm`?" in refused("endpoint", "vlm")["evalue"]
    assert refused("cache", "replay")["ename"] == "NotRecorded"
    assert refused("budget", 1e-7)["ename"] == "BudgetExceeded"
    assert sim.ledger.count("asked") == 0
    sim.pace(latency=30)
    try:
        assert "for 1.5 s" in refused("timeout", 1.5)["evalue"]
    finally:
        sim.pace()


@pytest.mark.slow
def test_tab_knows_what_the_notebook_has(kernel, script):
    script("said")
    kernel.run("%qwen --no-cache --chat journey begin")
    kernel.run("class Journal: pass\njotted = ['yes', 'no']\njoint = {'type': 'object'}\ndef jog(): pass")
    assert kernel.complete("%qwen --chat jou") == ["journey"]
    assert kernel.complete("%qwen --schema jo") == ["joint"] and kernel.complete("%qwen --schema Jo") == [
        "Journal"
    ]
    assert kernel.complete("%qwen --choices jo") == ["jotted"]
    assert kernel.complete("%qwen --tools jo") == ["jog"]
    assert kernel.complete("%qwen --param top") == ["top_k=", "top_p="]
    assert {"joint", "jotted", "jog"} <= set(kernel.complete("%qwen --image jo"))
    assert kernel.complete("%qwen --think=me") == ["medium"]


@pytest.mark.slow
def test_tab_in_the_body_of_a_cell_is_not_about_options(kernel):
    assert "--think" not in kernel.complete("%%qwen --no-think\n--th")
    assert "--think" not in kernel.complete("%%qwen\n%qwen --th")
    assert kernel.complete("x = 1\n%qwen --thi") == ["--think"]


def test_behind_two_dashes_everything_is_prompt(kernel, sim, script):
    script("a", "b")
    assert kernel.run("%qwen --seed 3 -- --think is no option here").status == "ok"
    assert asked(sim) == "--think is no option here" and body(sim)["seed"] == 3
    assert kernel.run("%qwen --  -- twice").status == "ok"
    assert asked(sim) == "-- twice"


def test_an_object_that_says_it_is_a_picture_travels_as_one(kernel, sim, script):
    kernel.run(
        "import io, base64\nfrom PIL import Image as I\nbuffer = io.BytesIO()\nI.new('RGB', (40, 40), 'blue').save(buffer, 'PNG')\n"
        "class Raw:\n    def _ai_repr_(self): return {'image/png': buffer.getvalue(), 'text/plain': 'no'}\n"
        "class Coded:\n    def _ai_repr_(self): return {'image/png': base64.b64encode(buffer.getvalue()).decode()}\n"
        "class Marked:\n    def _ai_repr_(self): return {'text/plain': 'no', 'text/markdown': '**marked**'}\n"
        "raw, coded, marked = Raw(), Coded(), Marked()"
    )
    script("a", "b", "c")
    for name in ("raw", "coded"):
        assert kernel.run(f"%qwen --no-cache see {{{{ {name} }}}}").status == "ok"
        [image] = [p for p in body(sim)["messages"][-1]["content"] if p["type"] == "image_url"]
        assert base64.b64decode(image["image_url"]["url"].partition(",")[2]).startswith(b"\x89PNG")
        assert asked(sim) == "see "
    assert kernel.run("%qwen read {{ marked }}").status == "ok" and asked(sim) == "read **marked**"


def test_what_is_to_be_fixed_comes_with_the_types_of_the_values_and_no_path(kernel, sim, script):
    kernel.run(
        "import json, polars as pl\nrows, table = [1, 2], pl.DataFrame({'a': [1]})\njson.loads(rows[0] + table.width * '{')"
    )
    kernel.run("rows, table\njson.loads('{')")
    script("Close it.")
    assert kernel.run("%qwen_fix --seed 4 in one word").status == "ok"
    said = asked(sim)
    assert said.endswith("\n\nin one word") and body(sim)["seed"] == 4
    assert "rows: list, 2 items" in said and "table: DataFrame, shape (1, 1)" in said
    assert "decoder.py, line" in said and "site-packages" not in said and "/lib" not in said


def test_what_was_spent_is_a_table_and_a_chart(kernel, script):
    script("ok")
    kernel.run("%qwen something that costs")
    table, chart = kernel.run("%qwen_usage").plain.split("\n\n")
    assert table.split()[:4] == ["day", "model", "endpoint", "requests"] and "█" in chart and "$" in chart


def test_what_was_sent_is_written_for_another_tool_with_its_picture(kernel, sim, script):
    kernel.run("from PIL import Image as I\nsquare = I.new('RGB', (32, 32), 'green')")
    script("said")
    kernel.run("%qwen --image square what {{ 'colour' }}?")
    told = kernel.run("%qwen_sent --as curl").plain
    assert told.startswith(f"curl -sS '{sim.base_url}/chat/completions'") and "_API_KEY" in told
    written = json.loads(told.partition("'JSON'\n")[2].removesuffix("\nJSON"))
    assert written["messages"] == body(sim)["messages"] and "data:image/" in told
    for typed, said in (("--as crul", "did you mean `curl`?"), ("curl", "takes --as and one of curl")):
        assert said in kernel.run(f"%qwen_sent {typed}").error["evalue"]


def test_a_mode_that_there_is_not_is_told_with_those_there_are(kernel):
    ran = kernel.run("%qwen_cache onn")
    assert ran.error["evalue"] == "'onn' is not a cache mode. Use on, refresh, replay, off."
    assert kernel.run("%qwen_cache").plain.startswith("mode     on")


@pytest.mark.slow
def test_unloaded_it_is_gone_and_loaded_again_it_is_there(kernel, sim, script):
    assert kernel.run("%unload_ext qwennb").status == "ok"
    assert kernel.complete("%qwen --thi") == []
    for gone in ("%qwen hello", "%%qwen\nhello", "%qwen_sent"):
        ran = kernel.run(gone)
        assert ran.status == "error" or "not found" in str(ran.outputs), ran.outputs
    script("said")
    assert kernel.run("%load_ext qwennb").status == "ok"
    assert kernel.run("%qwen loaded again?").plain.startswith("said") and asked(sim) == "loaded again?"
    assert kernel.complete("%qwen --thi") == ["--think"]


def test_what_left_this_machine_is_shown_whole_with_media_by_their_hash(kernel, sim, script):
    kernel.run("from PIL import Image as I\nsquare = I.new('RGB', (32, 32), 'green')")
    script("said")
    kernel.run("%qwen --temperature 0.5 --system 'Be brief.' --image square what colour?")
    sent = json.loads(kernel.run("%qwen_sent").plain)
    assert sent["model"] == "qwen3.5-flash" and sent["temperature"] == 0.5
    system, question = sent["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    assert question["content"][0] == {"type": "text", "text": "what colour?"}
    assert question["content"][1].keys() == {"type", "sha256"} and len(question["content"][1]["sha256"]) == 64


def test_no_folder_of_this_machine_is_among_the_settings(kernel):
    shown = kernel.run("%qwen_config").plain
    assert "cache_dir    …/cache\n" in shown
    assert kernel.value("__import__('os').environ['HOME']") not in shown


def test_a_figure_is_found_whichever_was_loaded_first(kernel, sim, script):
    kernel.run("%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.close('all')")
    kernel.run("%unload_ext qwennb")
    assert kernel.run("%load_ext qwennb").status == "ok"
    kernel.run("from qwennb.notebook.figures import FIGURES as noted\nnoted._last = figure = None")
    kernel.run("plt.bar([1], [3]);")
    script("A bar.")
    assert kernel.run("%qwen_look --no-cache and now?").status == "ok"
    assert any(p["type"] == "image_url" for p in body(sim)["messages"][-1]["content"])
