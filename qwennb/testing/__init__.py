"""For tests of one's own code that asks a model: answers from a pack, from a script, from a judge that knows what is right, and no network.

from qwennb.testing import no_network, replaying, scripted

def test_the_report_names_the_city():
    with replaying("tests/report.qwenpack"):        # whatever client the code makes recalls from the pack
        assert "Ulm" in report()

def test_a_complaint_is_passed_on():
    qwen = scripted("complaint")                    # a client whose model says this
    assert sorted_mail("The soup was cold.", qwen) == "complaints"
"""

from qwennb.testing.judge import judge
from qwennb.testing.network import no_network
from qwennb.testing.replay import replaying
from qwennb.testing.script import Scripted, ScriptedQwen, scripted

__all__ = ["Scripted", "ScriptedQwen", "judge", "no_network", "replaying", "scripted"]
