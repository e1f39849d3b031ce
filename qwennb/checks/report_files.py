"""A report for other programs: JUnit's XML, which every CI reads, and JSON Lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from xml.etree import ElementTree as ET  # written, and never read: what reads XML is not ours

from qwennb.checks.report import CheckReport
from qwennb.text import plural

# What XML 1.0 has no way to write, escaped or not: a reader would refuse the whole file for one sign of an answer's.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(report: CheckReport, when: datetime) -> bytes:
    """Write *report* in the shape that pytest calls xunit1: a case for each rule, its check as the class."""
    rules = report.rules
    skipped = sum(rule.passed is None for rule in rules)
    suite = ET.Element(
        "testsuite",
        name="qwennb check",
        errors="0",
        failures=f"{len(report.failures)}",
        skipped=f"{skipped}",
        tests=f"{len(rules)}",
        time="0.000",
        timestamp=when.isoformat(),
        hostname="localhost",
    )
    for rule in rules:
        case = ET.SubElement(
            suite, "testcase", classname=_writable(rule.check), name=_writable(rule.rule), time="0.000"
        )
        if rule.passed is None:
            ET.SubElement(
                case, "skipped", type="qwennb.check", message=_writable(rule.said)
            ).text = _writable(rule.said)
        elif not rule.passed:
            told = [f"row {one.row}: {one.value} ({one.why})" for one in rule.broken[:100]]
            more = [f"and {plural(len(rule.broken) - 100, 'more row')}"] if len(rule.broken) > 100 else []
            ET.SubElement(case, "failure", message=_writable(rule.said)).text = _writable(
                "\n".join([rule.said, *told, *more])
            )
    whole = ET.Element("testsuites", name="qwennb check")
    whole.append(suite)
    written: bytes = ET.tostring(whole, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def json_lines(report: CheckReport) -> Iterator[str]:
    """Write *report* as JSON Lines: the run, then each check, each rule, and each answer that breaks one."""
    yield _line(
        "run", passed=report.passed, title=report.title, said=report.verdict, notes=list(report.notes)
    )
    for check in report.checks:
        found = check.comparison
        accuracy = None if found is None else found.accuracy
        yield _line(
            "check", check=check.name, passed=check.passed, rows=check.rows, failed=check.failed,
            accuracy=accuracy and accuracy.value, interval=accuracy and accuracy.interval,
            by_label={} if found is None else {label: [one.count, one.of] for label, one in found.by_label.items()},
            confusion=[] if found is None else [[*pair, count] for pair, count in found.confusion.items()],
            judge=check.judge,
        )  # fmt: skip
        for rule in check.rules:
            yield _line(
                "rule", check=rule.check, rule=rule.rule, passed=rule.passed, rows=rule.rows, broken=len(rule.broken), said=rule.said
            )  # fmt: skip
            for one in rule.broken:
                yield _line("row", check=rule.check, rule=rule.rule, row=one.row, name=one.name, value=one.value, why=one.why)  # fmt: skip


def _line(kind: str, **values: object) -> str:
    return json.dumps({"kind": kind, **values}, ensure_ascii=True)


def _writable(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
