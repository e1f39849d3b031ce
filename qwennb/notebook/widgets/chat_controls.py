"""The controls of a chat: boxes and buttons, in the order that Tab goes through them, and nothing that is decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from qwennb.notebook.widgets.beside import answers_beside_the_cell
from qwennb.notebook.widgets.read_only import ReadOnlyText, StatusLabel
from qwennb.notebook.widgets.static import parts

if TYPE_CHECKING:
    from qwennb.notebook.widgets.chat import ChatPanel

THINKING: dict[str, Any] = {
    "model decides": None,
    "off": False,
    "on": True,
    "low": "low",
    "medium": "medium",
    "high": "high",
}


class ChatControls:
    """All of a chat's widgets. `box` holds them; *desk* is told what was pressed."""

    def __init__(self, desk: ChatPanel, models: Sequence[str]) -> None:
        self._desk = desk
        self._is_drawing = False
        self._growing = widgets.Output()
        self._call = ReadOnlyText("The model wants to call", rows=2)
        allow = self._button("Allow", "check", "Run this tool now, this once", lambda: desk.consent(True))
        deny = self._button("Deny", "ban", "Don't run it, and tell the model so", lambda: desk.consent(False))
        self._consent = widgets.VBox([self._call, widgets.HBox([allow, deny])])
        self._text = widgets.Textarea(
            description="Your message", rows=3, continuous_update=True, placeholder="Enter sends; \\ and Enter breaks the line",
            tooltip="Your message: Enter at its end sends it", style=_WIDE, layout=widgets.Layout(width="98%"),
        )  # fmt: skip
        self._text.observe(self._on_typing, "value")
        self._go = self._button("Send", "paper-plane", _SEND, self._send_or_stop)
        self._said = StatusLabel()
        self._upload = widgets.FileUpload(
            accept="image/*",
            multiple=True,
            description="Picture",
            tooltip="Attach pictures from this computer",
        )
        self._upload.observe(self._on_upload, "value")
        self._name = widgets.Combobox(
            description="Variable", placeholder="a frame, a figure …", tooltip="The name of a variable to attach",
            style=_WIDE, layout=widgets.Layout(width="220px"),
        )  # fmt: skip
        by_name = self._button("Attach", "paperclip", "Attach the value of this variable", self._attach_name)
        figure = self._button(
            "Last figure", "area-chart", "Attach the figure that was drawn last", desk.attach_figure
        )
        self._detach = self._button("Detach", "times", "Attach nothing after all", desk.attach_nothing)
        self._attached = StatusLabel()
        self._turn = widgets.Dropdown(
            description="Turn", tooltip="The turn that Edit, Again and Branch are about", style=_WIDE,
            layout=widgets.Layout(width="300px"),
        )  # fmt: skip
        self._turn_buttons = [
            self._button("Edit", "pencil", "Change this question and ask it anew", self._of_turn(desk.edit)),
            self._button("Again", "refresh", "Ask this question once more, for another answer", self._of_turn(desk.again)),
            self._button("Branch", "code-fork", "Go on after this turn, in a new branch", self._of_turn(desk.branch)),
        ]  # fmt: skip
        self._branch = widgets.Dropdown(
            description="Branch",
            tooltip="The branch that is shown",
            style=_WIDE,
            layout=widgets.Layout(width="160px"),
        )
        self._branch.observe(self._went, "value")
        self._model = widgets.Combobox(
            options=tuple(models), description="Model", placeholder="the usual one", tooltip="The model to ask from now on",
            style=_WIDE, layout=widgets.Layout(width="260px"),
        )  # fmt: skip
        self._thinking = widgets.Dropdown(
            options=list(THINKING), description="Thinking", tooltip="How much the model thinks before it answers",
            style=_WIDE, layout=widgets.Layout(width="220px"),
        )  # fmt: skip
        self._where = widgets.Text(
            description="Save as", placeholder="name, chat.json or chat.md", style=_WIDE, layout=widgets.Layout(width="300px"),
            tooltip="A name for a variable, a .json file to go on with, or a .md file to read",
        )  # fmt: skip
        save = self._button(
            "Save", "save", "Keep the conversation there", lambda: desk.save(self._where.value)
        )
        insert = self._button(
            "Insert as cell", "plus-square", "Put the code of the last answer into a new cell", desk.insert
        )
        self._cost = StatusLabel()
        self.box = widgets.VBox(
            [
                self._growing,
                self._consent,
                self._text,
                _row(self._go, self._said),
                _row(self._upload, self._name, by_name, figure, self._detach, self._attached),
                _row(self._turn, *self._turn_buttons, self._branch),
                _row(self._model, self._thinking),
                _row(self._where, save, insert),
                self._cost,
            ]
        )
        for part in parts(self.box):
            answers_beside_the_cell(part)

    @property
    def text(self) -> str:
        """The message as it is typed."""
        return str(self._text.value)

    @text.setter
    def text(self, text: str) -> None:
        self._quietly(self._text, "value", text)

    @property
    def settings(self) -> dict[str, Any]:
        """The options that the switches stand for; None where one is left alone."""
        return {"model": self._model.value.strip() or None, "thinking": THINKING[self._thinking.value]}

    def say(self, text: str) -> None:
        """Say how it went."""
        self._said.say(text)

    def show_growing(self, markdown: str) -> None:
        """The question under way."""
        data = {"text/markdown": markdown, "text/plain": ""}
        shown = {"output_type": "display_data", "data": data, "metadata": {}}
        outputs = (shown,) if markdown else ()
        if self._growing.outputs != outputs:
            self._growing.outputs = outputs

    def show_call(self, text: str) -> None:
        """The call that waits for consent; none, none."""
        self._call.show(text)
        self._consent.layout.display = None if text else "none"

    def show_busy(self, is_busy: bool, *, waits: bool) -> None:
        """Whether a question is under way, and whether it waits for the user."""
        self._go.description, self._go.icon = ("Stop", "stop") if is_busy else ("Send", "paper-plane")
        self._go.tooltip = _STOP if is_busy else _SEND
        if is_busy:
            self.say("Waiting for you to allow a tool." if waits else "Answering …")
        elif self._said.value.startswith(("Answering", "Waiting")):
            self.say("")
        for button in self._turn_buttons:
            button.disabled = is_busy or not self._turn.options
        self._branch.disabled = is_busy

    def show_turns(self, turns: Sequence[str], branch: int, branches: int) -> None:
        """The turns to choose from, the last one chosen when there are new ones, and the branches."""
        options = tuple((text, number) for number, text in enumerate(turns))
        if self._turn.options != options:
            self._turn.options = options
            self._quietly(self._turn, "value", len(turns) - 1 if turns else None)
            for button in self._turn_buttons:
                button.disabled = self._desk.is_busy or not turns
        listed = tuple((f"{number + 1} of {branches}", number) for number in range(branches))
        if self._branch.options != listed or self._branch.value != branch:
            self._is_drawing = True
            self._branch.options, self._branch.value = listed, branch
            self._is_drawing = False
        self._branch.layout.display = None if branches > 1 else "none"

    def show_attached(self, told: str, names: Sequence[str]) -> None:
        """What goes with the next question, and what could."""
        self._attached.say(f"Attached: {told}" if told else "")
        self._detach.layout.display = None if told else "none"
        if self._name.options != tuple(names):
            self._name.options = tuple(names)

    def show_cost(self, told: str) -> None:
        """What was asked and spent."""
        self._cost.say(f"This conversation: {told}")

    def _button(self, text: str, icon: str, tooltip: str, pressed: Callable[[], None]) -> widgets.Button:
        button = widgets.Button(
            description=text,
            icon=icon,
            tooltip=tooltip,
            layout=widgets.Layout(width="auto", min_width="80px"),
        )
        button.on_click(lambda _: self._desk.tell(pressed))
        return button

    def _send_or_stop(self) -> None:
        if self._desk.is_busy:
            self._desk.stop()
        else:
            self._desk.send(self._text.value)

    def _on_typing(self, change: Any) -> None:
        """Enter at the end of the text sends it; after a backslash it breaks the line."""
        new, old = change["new"], change["old"]
        if self._is_drawing or not new.endswith("\n") or new.count("\n") != old.count("\n") + 1:
            return
        if new.endswith("\\\n"):
            self.text = new[:-2] + "\n"
        elif self._desk.is_busy:
            self.text = new[:-1]
        else:
            self._desk.tell(lambda: self._desk.send(new))

    def _on_upload(self, change: Any) -> None:
        files = change["new"]
        if files and not self._is_drawing:
            self._desk.tell(lambda: self._desk.attach_files(files))
            self._quietly(self._upload, "value", ())  # its bytes would stay in the widget's state

    def _attach_name(self) -> None:
        self._desk.attach_name(self._name.value)
        self._name.value = ""

    def _of_turn(self, do: Callable[[int], None]) -> Callable[[], None]:
        return lambda: do(-1 if self._turn.value is None else self._turn.value)

    def _went(self, change: Any) -> None:
        if not self._is_drawing and change["new"] is not None:
            self._desk.tell(lambda: self._desk.go_to(change["new"]))

    def _quietly(self, widget: widgets.Widget, name: str, value: Any) -> None:
        was, self._is_drawing = self._is_drawing, True
        setattr(widget, name, value)
        self._is_drawing = was


_WIDE = {"description_width": "initial"}
_SEND = "Send the message: as Enter at its end does"
_STOP = "Stop this answer"


def _row(*children: widgets.Widget) -> widgets.HBox:
    return widgets.HBox(list(children), layout=widgets.Layout(flex_flow="row wrap", align_items="center"))
