r"""A formula of a model, as every renderer reads it, or None where it could be more than mathematics.

MathJax and KaTeX know commands that link, load, style, redefine and move: a link without a host to be seen, a `\sum` that
means something else in every later answer, a word set over another. So a formula is made of what stands in the lists
below, and of nothing else. The names are those that MathJax has in its base and AMS maps, without `\ref`, `\label` and
`\mmlToken`, and without what moves or rules (`\raise`, `\kern`, `\hspace`, `\smash`, `\rule`).

What is let through also has to be harmless where a renderer takes a formula for text: there `\\` becomes a single
backslash, so none stands before a letter.
"""

from __future__ import annotations

import re

_NAMES = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi chi
psi omega varepsilon vartheta varpi varrho varsigma varphi Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi
Omega digamma varkappa varGamma varDelta varTheta varLambda varXi varPi varSigma varUpsilon varPhi varPsi varOmega
beth gimel daleth S aleph hbar imath jmath ell wp Re Im partial infty prime emptyset nabla top bot angle triangle
backslash forall exists neg lnot flat natural sharp clubsuit diamondsuit heartsuit spadesuit surd coprod bigvee
bigwedge biguplus bigcap bigcup int intop iint iiint iiiint idotsint prod sum bigotimes bigoplus bigodot oint
bigsqcup smallint triangleleft triangleright bigtriangleup bigtriangledown wedge land vee lor cap cup ddagger dagger
sqcap sqcup uplus amalg diamond bullet wr div odot oslash otimes ominus oplus mp pm circ bigcirc setminus cdot ast
times star propto sqsubseteq sqsupseteq parallel mid dashv vdash leq le geq ge lt gt succ prec approx succeq preceq
supset subset supseteq subseteq in ni notin owns gg ll sim simeq perp equiv asymp smile frown ne neq cong doteq
bowtie models Leftrightarrow Leftarrow Rightarrow leftrightarrow leftarrow gets rightarrow to mapsto leftharpoonup
leftharpoondown rightharpoonup rightharpoondown nearrow searrow nwarrow swarrow rightleftharpoons hookrightarrow
hookleftarrow longleftarrow Longleftarrow longrightarrow Longrightarrow Longleftrightarrow longleftrightarrow
longmapsto ldots cdots vdots ddots dots dotsc dotsb dotsm dotsi dotso ldotp cdotp colon And implies impliedby iff
uparrow downarrow updownarrow Uparrow Downarrow Updownarrow langle rangle lceil rceil lfloor rfloor lbrace rbrace
lbrack rbrack vert Vert lvert rvert lVert rVert lgroup rgroup lmoustache rmoustache arrowvert ulcorner urcorner
llcorner lrcorner backprime hslash varnothing blacktriangle triangledown blacktriangledown square Box blacksquare
lozenge Diamond blacklozenge circledS bigstar sphericalangle measuredangle nexists complement mho eth Finv diagup
Game diagdown Bbbk yen circledR checkmark maltese dotplus ltimes smallsetminus rtimes Cap doublecap leftthreetimes
Cup doublecup rightthreetimes barwedge curlywedge veebar curlyvee doublebarwedge boxminus circleddash boxtimes
circledast boxdot circledcirc boxplus centerdot divideontimes intercal leqq geqq leqslant geqslant eqslantless
eqslantgtr lesssim gtrsim lessapprox gtrapprox approxeq lessdot gtrdot lll llless ggg gggtr lessgtr gtrless
lesseqgtr gtreqless lesseqqgtr gtreqqless doteqdot Doteq eqcirc risingdotseq circeq fallingdotseq triangleq backsim
thicksim backsimeq thickapprox subseteqq supseteqq Subset Supset sqsubset sqsupset preccurlyeq succcurlyeq
curlyeqprec curlyeqsucc precsim succsim precapprox succapprox vartriangleleft lhd vartriangleright rhd
trianglelefteq unlhd trianglerighteq unrhd vDash Vdash Vvdash smallsmile shortmid smallfrown shortparallel bumpeq
between Bumpeq pitchfork varpropto backepsilon blacktriangleleft blacktriangleright therefore because eqsim
vartriangle Join nless ngtr nleq ngeq nleqslant ngeqslant nleqq ngeqq lneq gneq lneqq gneqq lvertneqq gvertneqq
lnsim gnsim lnapprox gnapprox nprec nsucc npreceq nsucceq precneqq succneqq precnsim succnsim precnapprox
succnapprox nsim ncong nshortmid nshortparallel nmid nparallel nvdash nvDash nVdash nVDash ntriangleleft
ntriangleright ntrianglelefteq ntrianglerighteq nsubseteq nsupseteq nsubseteqq nsupseteqq subsetneq supsetneq
varsubsetneq varsupsetneq subsetneqq supsetneqq varsubsetneqq varsupsetneqq leftleftarrows rightrightarrows
leftrightarrows rightleftarrows Lleftarrow Rrightarrow twoheadleftarrow twoheadrightarrow leftarrowtail
rightarrowtail looparrowleft looparrowright leftrightharpoons curvearrowleft curvearrowright circlearrowleft
circlearrowright Lsh Rsh upuparrows downdownarrows upharpoonleft upharpoonright downharpoonleft restriction multimap
downharpoonright leftrightsquigarrow rightsquigarrow leadsto dashrightarrow dashleftarrow nleftarrow nrightarrow
nLeftarrow nRightarrow nleftrightarrow nLeftrightarrow coloneqq eqqcolon degree arcsin arccos arctan arg argmin
argmax cos cosh cot coth csc deg det dim exp gcd hom inf ker lg lim liminf limsup ln log max min Pr sec sin sinh sup
tan tanh injlim projlim varliminf varlimsup varinjlim varprojlim operatorname bmod pmod mod pod limits nolimits
displaystyle textstyle scriptstyle scriptscriptstyle rm it bf sf tt cal frak scr mit boldsymbol bm pmb mathrm mathup
mathnormal mathbf mathit mathbb Bbb mathfrak mathscr mathsf mathtt mathcal mathring mathord mathop mathopen
mathclose mathbin mathrel mathpunct mathinner symbf symit symrm text textrm textup textnormal textit textbf textsf
texttt mbox hbox fbox boxed cancel bcancel xcancel ce overline underline overbrace underbrace overparen underparen
overrightarrow underrightarrow overleftarrow underleftarrow overleftrightarrow underleftrightarrow overset underset
overunderset stackrel buildrel substack xrightarrow xleftarrow acute grave dot ddot dddot ddddot tilde bar breve
check hat vec widetilde widehat frac tfrac dfrac cfrac binom tbinom dbinom over atop choose brace brack sqrt root
left right middle big Big bigg Bigg bigl Bigl biggl Biggl bigr Bigr biggr Biggr bigm Bigm biggm Biggm not quad qquad
enspace thinspace medspace thickspace space nobreakspace strut mathstrut phantom vphantom hphantom begin end cr
newline hline hdashline hfill nonumber notag tag
"""
_COMMANDS = frozenset(_NAMES.split())
_SYMBOLS = frozenset("\\,;:!{}|_%$#& /")
# Each environment that stands by itself, and what it is between dollars.
_DISPLAYS = {
    "equation": "", "displaymath": "", "math": "", "align": "aligned", "eqnarray": "aligned", "gather": "gathered",
    "multline": "gathered", "alignat": "aligned", "flalign": "aligned",
}  # fmt: skip
_INNER = frozenset(
    [
        "array", "aligned", "alignedat", "gathered", "split", "cases", "dcases", "rcases", "matrix", "pmatrix", "bmatrix",
        "Bmatrix", "vmatrix", "Vmatrix", "smallmatrix", "subarray",
    ]
)  # fmt: skip
BEGIN = re.compile(r"\\begin\{(" + "|".join(sorted({*_DISPLAYS, *_INNER})) + r")(\*?)\}")

_TOKEN = re.compile(r"\\([A-Za-z]+|[^A-Za-z]|$)")
_ENVIRONMENT = re.compile(r"\s*\{(\w+)\*?\}")
# How many columns, and how they are set; anything else there repeats, inserts or shifts.
_ARRAY = re.compile(r"\s*\{(?:array|subarray)\}(?:\[[tbc]\])?\s*\{[clr|:\s]{0,99}\}")
_COUNTED = re.compile(r"\s*\{align(?:ed)?at\*?\}(?:\[[tbc]\])?\s*\{\d{1,2}\}")
_ROW_SPACE = re.compile(r"\s*\*?\s*\[\s*(?=[-+.\d])(?!\d{0,2}(?:\.\d{1,2})?\s*(?:pt|em|ex|mm|cm)\s*\])")
# Markdown and entities that would come to life where a dollar means nothing; thin negative spaces that walk back.
_ALIVE = re.compile(r"!\[|\]\s*[(\[:]|://|&#|&\w+;|[\w.+-]@\w|(?:\\!\s*){5}")


def set_display(name: str, inner: str) -> str:
    """Write what stands between dollars for the environment *name* with *inner* in it."""
    if name in _INNER:
        return f"\\begin{{{name}}}{inner}\\end{{{name}}}"
    inner = inner.strip()
    if not _DISPLAYS[name]:
        return inner
    inner = re.sub(r"^\{\d+\}\s*", "", inner) if name == "alignat" else inner
    return f"\\begin{{{_DISPLAYS[name]}}} {inner} \\end{{{_DISPLAYS[name]}}}"


def mend_formula(inner: str, fence: str) -> str | None:
    """Spell *inner* as every renderer reads it between two of *fence*; None for what could be more than mathematics."""
    # A last, empty row means nothing, and its backslash would hide the dollar.
    inner = re.sub(r"(?<!\\)(?:\\\\)+$", "", inner.strip()).strip()
    bare = re.sub(r"\\.", "", inner)
    if not inner or fence in bare or bare.count("{") != bare.count("}") or _ALIVE.search(inner):
        return None
    if "%" in bare or "`" in inner or not all(_is_known(found, inner) for found in _TOKEN.finditer(inner)):
        return None
    inner = _TOKEN.sub(lambda found: "\\\\ " if _is_row_before_word(found, inner) else found[0], inner)
    return re.sub(r">\s*", r"\\gt ", re.sub(r"<\s*", r"\\lt ", inner))


def _is_row_before_word(found: re.Match[str], inner: str) -> bool:
    return found[1] == "\\" and inner[found.end() : found.end() + 1].isalpha()


def _is_known(found: re.Match[str], inner: str) -> bool:
    name = found[1]
    if name == "\\":
        return not _ROW_SPACE.match(inner, found.end())
    if name in ("begin", "end"):
        environment = _ENVIRONMENT.match(inner, found.end())
        if environment is None or environment[1] not in _INNER | _DISPLAYS.keys():
            return False
        columns = {"array": _ARRAY, "subarray": _ARRAY, "alignedat": _COUNTED, "alignat": _COUNTED}
        wanted = columns.get(environment[1]) if name == "begin" else None
        return wanted is None or wanted.match(inner, found.end()) is not None
    return name in (_COMMANDS if name.isalpha() else _SYMBOLS)
