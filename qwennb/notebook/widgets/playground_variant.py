"""One of the settings that are compared: a model, a system text, and the parameters that this model takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import ipywidgets as widgets

from qwennb.client import Options, Qwen
from qwennb.errors import BadInput, QwenError, nearest
from qwennb.notebook.widgets.playground_controls import WIDE, WITH_CONTROL, PlaygroundControls
from qwennb.notebook.widgets.read_only import StatusLabel, receive_in_order
from qwennb.notebook.widgets.static import close

_NOT_HERE = frozenset(["images", "videos", "files", "tools", "tool_choice", "max_steps", "overflow"])
_SEEN = WITH_CONTROL | {"model", "system"}


def check_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a variant, or what is wrong with them."""
    options = {name: value for name, value in given.items() if value is not None}
    known = {f.name for f in fields(Options)}
    for name in options:
        if name not in known:
            raise BadInput(f"A variant has no option `{name}`{nearest(name, known) or '.'}")
        if name in _NOT_HERE:
            raise BadInput(f"The playground asks texts, one question each; it has no `{name}`.")
        if name == "budget":
            raise BadInput(
                "A budget is for all cells together: give it to the client, client=Qwen(budget=…)."
            )
    Options(**options)
    return options


def models_of(client: Qwen, chosen: str) -> list[str]:
    """The models that *client* can ask, *chosen* among them."""
    place = client.endpoint
    if place.server is not None:
        return [chosen]
    listed = [] if place.hosted else [place.model_name(served) for served in place.served]
    if not listed:
        listed = [model.name for model in place.catalog.models_at(place.catalogue_name)]
    return list(dict.fromkeys([chosen, *listed]))


class VariantPanel:
    """The controls of one variant, in `box`."""

    def __init__(
        self,
        letter: str,
        client: Qwen,
        options: Mapping[str, Any],
        *,
        changed: Callable[[], None],
        remove: Callable[[VariantPanel], None],
    ) -> None:
        self.client = client
        self._changed = changed
        self._given = dict(options)
        chosen = client.endpoint.model_name(options.get("model") or client.session.config.model)
        self._model = widgets.Dropdown(
            options=models_of(client, chosen), value=chosen, description=f"model {letter}",
            style={"description_width": WIDE}, layout=widgets.Layout(width="28em"),
        )  # fmt: skip
        self._system = widgets.Textarea(
            value=options.get("system") or "", description="system", rows=2, continuous_update=False,
            style={"description_width": WIDE}, layout=widgets.Layout(width="28em"),
        )  # fmt: skip
        self._problem = StatusLabel()
        self._controls: PlaygroundControls | None = None
        self._holder = widgets.VBox([])
        self._remove = widgets.Button(description=f"Remove {letter}", tooltip=f"Compare without {letter}")
        self.heading = StatusLabel(f"{letter}: at {client.endpoint}")
        self.box = widgets.VBox(
            [self.heading, self._model, self._system, self._holder, self._problem, self._remove],
            layout=widgets.Layout(
                border="1px solid", padding="4px 8px", margin="0 8px 8px 0", min_width="30em"
            ),
        )
        self._rebuild()
        self._model.observe(self._chose, "value")
        self._system.observe(lambda change: changed(), "value")
        self._remove.on_click(lambda button: remove(self))

    def set_letter(self, letter: str, *, alone: bool) -> None:
        """Be called *letter* from now on. The last one can't be removed."""
        self.heading.say(f"{letter}: at {self.client.endpoint}")
        self._model.description = f"model {letter}"
        self._remove.description = f"Remove {letter}"
        self._remove.tooltip = f"Compare without {letter}"
        self._remove.disabled = alone

    @property
    def model(self) -> str:
        """The model that is chosen."""
        return str(self._model.value)

    @property
    def controls(self) -> list[str]:
        """The parameters that can be set for this model, here."""
        return self._controls.names if self._controls is not None else []

    def options(self) -> dict[str, Any]:
        """All that is set: by the controls, and by what was given and has no control."""
        rest = {name: value for name, value in self._given.items() if name not in _SEEN}
        system = {"system": self._system.value} if self._system.value else {}
        shown = self._controls.options() if self._controls is not None else {}
        return {"model": self.model, **system, **shown, **rest}

    def _chose(self, change: Any) -> None:
        if self._controls is not None:
            self._given.update(self._controls.options())
        self._rebuild()
        self._changed()

    def _rebuild(self) -> None:
        """The controls for the model that is chosen now. What it does not take is no longer set."""
        for old in self._holder.children:
            close(old)
        try:
            abilities = self.client.endpoint.abilities(self.model)
        except QwenError as error:
            self._controls, self._holder.children = None, ()
            self._problem.say(str(error))
            return
        self._controls = PlaygroundControls(abilities, self._given, self._changed)
        receive_in_order(self._controls.box)
        self._holder.children = (self._controls.box,)
        dropped = [name for name in self._given if name in WITH_CONTROL and name not in self._controls.names]
        self._problem.say(f"{self.model} does not take {', '.join(dropped)} here." if dropped else "")
