"""Makes the long report that lesson 06 asks about: python -m tests.lessons.report

The port of Larnach does not exist. Every figure comes from a seeded generator, so that the answers, and the pages that
they stand on, are known: `FACTS` lists those that the lesson and its test ask for.
"""

from __future__ import annotations

import random
from pathlib import Path

from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

REPORT = Path(__file__).parents[2] / "notebooks" / "data" / "larnach-report.pdf"

# What is asked, the answer's own words as they stand in the report, and the page.
FACTS = (
    ("How deep is berth 6 after the dredging?", "11.4 metres", 20),
    ("What did the fire in shed C cost?", "412,000 euros", 27),
    ("Who was harbour master until June?", "Ines Calloway", 36),
)

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July",
    "August", "September", "October", "November", "December",
)  # fmt: skip
GOODS = ("grain", "timber", "containers", "fish meal", "cement", "wind turbine parts")
WEATHER = (
    "gales from the south-west kept the pilots ashore",
    "fog lay over the channel for several mornings",
    "an easterly swell made the outer berths unsafe",
    "the ice on the river came later than usual",
    "a broken lock gate held the barges back",
)
CARE = (
    "The fenders were renewed and two bollards were set in new concrete.",
    "Divers found the sheet piling sound, with little scour at its foot.",
    "The lamps were changed for LED ones, which halved the power that the berth draws at night.",
    "The crane rails were ground level again after the settlement that was reported last year.",
    "A new ladder was fitted at the request of the pilots.",
)
WORRIES = (
    "a lorry that reversed into a gate", "a hose that burst while bunkering", "a mooring line that parted",
    "a slip on a wet ladder", "a container that was set down askew", "smoke from a conveyor's bearing",
)  # fmt: skip


def write_report(path: Path) -> None:
    """Write the report of the port of Larnach, 40 pages of text and tables."""
    draw = random.Random(2025)
    pages = [
        _front(),
        _summary(),
        *(_month(draw, number, month) for number, month in enumerate(MONTHS)),
        *(_berth(draw, number) for number in range(1, 11)),
        *(_safety(draw, number) for number in range(1, 7)),
        *(_energy(draw, number) for number in range(1, 5)),
        *(_people(draw, number) for number in range(1, 4)),
        *(_money(draw, number) for number in range(1, 4)),
    ]
    story = []
    for page in pages:
        story += [*page, Paragraph(_log(draw), _styles["BodyText"]), PageBreak()]
    made = SimpleDocTemplate(
        str(path), pagesize=A4, title="The port of Larnach in 2025", author="Port of Larnach", invariant=1
    )
    made.build(story[:-1], onFirstPage=_number, onLaterPages=_number)


def _number(canvas: object, document: object) -> None:
    canvas.setFont("Helvetica", 8)
    canvas.drawRightString(A4[0] - 60, 40, f"The port of Larnach in 2025, page {document.page}")


_styles = getSampleStyleSheet()


def _page(title: str, *parts: object) -> list[object]:
    made: list[object] = [Paragraph(title, _styles["Heading2"])]
    for part in parts:
        made += [Paragraph(part, _styles["BodyText"]) if isinstance(part, str) else part, Spacer(1, 6)]
    return made


SHIPS = (
    "Maria Sund", "Blue Heron", "Ostrava", "Kittiwake", "Lady Anne", "Norderney", "Sable", "Torvald", "Estrella", "Windle",
    "Hanseat", "Corrie", "Bluebell", "Gannet", "Vesta", "Polaris", "Merganser", "Duna", "Alva", "Skarv",
)  # fmt: skip


def _log(draw: random.Random) -> str:
    """Write what the quay's log has of some calls: the bulk of a report that nobody asks about."""
    calls = [
        f"On {draw.randint(1, 28)} {draw.choice(MONTHS)} the {ship} brought {draw.randint(300, 9_000):,} tonnes of "
        f"{draw.choice(GOODS)}, lay {draw.randint(6, 60)} hours and paid {draw.randint(900, 19_000):,} euros in dues."
        for ship in draw.sample(SHIPS, 11)
    ]
    return "From the log of the quay: " + " ".join(calls)


def _table(*rows: tuple[object, ...]) -> Table:
    made = Table([[str(cell) for cell in row] for row in rows], hAlign="LEFT")
    made.setStyle(TableStyle([("GRID", (0, 0), (-1, -1), 0.4, "#999999"), ("FONTSIZE", (0, 0), (-1, -1), 9)]))
    return made


def _front() -> list[object]:
    return _page(
        "The port of Larnach in 2025",
        "Annual report of the port authority to the county council.",
        "This report tells of the traffic of each month, of the ten berths, of safety, energy, people and money. "
        "All weights are metric tonnes, all sums are euros.",
    )


def _summary() -> list[object]:
    return _page(
        "Summary",
        "It was a year of more ships and lighter cargoes. Grain and timber held their place; containers fell for the "
        "third year. The works at the outer berths went on as planned, and the council's loan was drawn in full.",
        "What is new is told in its own chapter: the depth of each berth in the chapter on berths, the incidents in the "
        "chapter on safety, and who came and went in the chapter on people.",
    )


def _month(draw: random.Random, number: int, month: str) -> list[object]:
    tonnes = {goods: draw.randint(2_000, 48_000) for goods in GOODS}
    ships, days = draw.randint(41, 88), draw.randint(0, 6)
    first = max(tonnes, key=lambda goods: tonnes[goods])
    return _page(
        f"Traffic in {month}",
        f"In {month} the port handled {sum(tonnes.values()):,} tonnes on {ships} ships. The largest part was {first}, with "
        f"{tonnes[first]:,} tonnes. The port was closed for {days} days, for {draw.choice(WEATHER)}.",
        _table(
            ("goods", "tonnes", "ships"),
            *((goods, f"{t:,}", draw.randint(2, 20)) for goods, t in tonnes.items()),
        ),
        f"The longest wait for a berth was {draw.randint(9, 70)} hours. The pilots made {draw.randint(70, 180)} journeys and "
        f"turned {draw.randint(0, 5)} ships away. Of the lorries, {draw.randint(60, 97)} of a hundred left within two hours.",
        f"The fishing fleet landed {draw.randint(90, 900)} tonnes at the old quay, {draw.choice(('more', 'less'))} than in the "
        f"same month of the year before. The ferry carried {draw.randint(3_000, 19_000):,} passengers.",
    )


def _berth(draw: random.Random, number: int) -> list[object]:
    depth = round(draw.uniform(6, 13), 1)
    works = (
        "Berth 6 was dredged in September. It is 11.4 metres deep now, a metre and a half more than before, so that ships of "
        "the larger class can lie there at low water."
        if number == 6
        else f"The berth is {depth} metres deep at low water. No dredging was done here this year."
    )
    return _page(
        f"Berth {number}",
        f"Berth {number} is {draw.randint(90, 320)} metres long and was in use on {draw.randint(120, 350)} days. It serves "
        f"{draw.choice(GOODS)} above all.",
        works,
        " ".join(draw.sample(CARE, 3)),
        _table(
            ("quarter", "ships", "days in use", "repairs, euros"),
            *(
                (q, draw.randint(8, 60), draw.randint(20, 90), f"{draw.randint(1, 90) * 500:,}")
                for q in range(1, 5)
            ),
        ),
        f"Its crane ran for {draw.randint(300, 2_900):,} hours and stood still for {draw.randint(4, 200)} hours of repairs.",
    )


def _safety(draw: random.Random, number: int) -> list[object]:
    fire = (
        "The one grave incident of the year was the fire in shed C in the night of 14 August. Nobody was hurt. The damage came "
        "to 412,000 euros, of which the insurer bore all but the excess. The cause was a charger of a fork-lift truck."
    )
    small = [
        f"On {draw.randint(1, 28)} {draw.choice(MONTHS)} there was {worry}; the damage was {draw.randint(1, 40) * 100:,} euros."
        for worry in draw.sample(WORRIES, 4)
    ]
    return _page(
        f"Safety, part {number}",
        *((fire,) if number == 3 else ()),
        *small,
        f"There were {draw.randint(2, 9)} drills. The fire brigade reached the quay in {draw.randint(5, 14)} minutes on average.",
    )


def _energy(draw: random.Random, number: int) -> list[object]:
    return _page(
        f"Energy, quarter {number}",
        f"The port drew {draw.randint(900, 2_100):,} megawatt hours in this quarter, {draw.randint(21, 64)} of a hundred of them "
        f"from its own turbines. Ships at berth took {draw.randint(40, 400)} megawatt hours of shore power.",
        _table(
            ("source", "MWh"), *((s, draw.randint(80, 900)) for s in ("own turbines", "grid", "diesel sets"))
        ),
        f"The tugs burned {draw.randint(30, 90)} tonnes of fuel. The new tug, which runs on batteries, made "
        f"{draw.randint(12, 160)} journeys without a fault.",
    )


def _people(draw: random.Random, number: int) -> list[object]:
    master = (
        "Ines Calloway was harbour master until June, when she retired after nineteen years. Tomas Reyk, until then her deputy, "
        "has held the office since July."
    )
    return _page(
        f"People, part {number}",
        *((master,) if number == 2 else ()),
        f"At the end of this part of the year {draw.randint(180, 240)} people worked for the port, {draw.randint(20, 60)} of them "
        f"women. {draw.randint(3, 15)} apprentices began, and {draw.randint(2, 12)} people left.",
        f"Sick leave stood at {draw.uniform(2, 6):.1f} per cent. {draw.randint(20, 90)} people took part in a course.",
    )


def _money(draw: random.Random, number: int) -> list[object]:
    return _page(
        f"Money, part {number}",
        f"Dues brought in {draw.randint(2_000, 6_000):,} thousand euros and rents {draw.randint(500, 1_900):,} thousand. Repairs "
        f"took {draw.randint(400, 1_500):,} thousand, wages {draw.randint(2_000, 4_000):,} thousand.",
        _table(
            ("", "budget", "spent"),
            *((w, draw.randint(100, 900), draw.randint(100, 900)) for w in ("quays", "cranes", "roads")),
        ),
    )


if __name__ == "__main__":
    write_report(REPORT)
