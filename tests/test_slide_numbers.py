"""The numbers that are computed by hand on slides, computed again."""

import re
from math import ceil, erf, exp, log, log2, prod, sqrt, tanh

import pytest

from tools import blocks, pages


def slides_of(stem):
    """{title: what students see of a slide}"""
    page = next(page for page in pages.toc() if page.stem == stem)
    return {part.argument: part.body.rpartition("+++")[0]
            for cell in page.read().cells if cell.cell_type == "markdown" for part in blocks.parse(cell.source)
            if isinstance(part, blocks.Directive) and part.name == "slide"}


def sigmoid(x):
    return 1 / (1 + exp(-x))


def softmax(*scores):
    return [exp(score) / sum(map(exp, scores)) for score in scores]


H1 = tanh(1)
H2 = tanh(0.5 * H1)
H3 = tanh(0.5 * H2)
D2 = 1 - H2**2
D1 = (1 - H1**2) * 0.5 * D2
WEIGHTS = softmax(2, -2, -2)
PASSED = [sigmoid(1 - score) for score in (2, -2, -2)]  # of the margins of a target that scores 1
STORED = 0.9999
ASKED = softmax(0, 0, 1)


def precision(ratings, tokens):
    return 1 + ratings / 1**2 + tokens / 0.7**2  # of an item's quality


def scanned(b):
    """The numbers b of a scan with the factor 1/2: at the beginning, and after each round."""
    rounds, factors, reach = [b], [0.5] * len(b), 1
    while reach < len(b):
        earlier = [0] * reach + rounds[-1][:-reach], [1] * reach + factors[:-reach]
        rounds.append([a * before + own for a, before, own in zip(factors, earlier[0], rounds[-1])])
        factors = [a * before for a, before in zip(factors, earlier[1])]
        reach *= 2
    return rounds


def gelu(x):
    return x * (1 + erf(x / 2**0.5)) / 2


def mixed(place):
    """The example of a mixer: 1/4 and 3/4 of two normalised rows, added to the second."""
    return 0.25 * (-1, 1)[place] + 0.75 * (1, -1)[place]

CLICK, TEACHER, STUDENT = (0, 1, 0), (0.1, 0.7, 0.2), (0.2, 0.6, 0.2)
BY_CLICK, BY_TEACHER = (-sum(p * log(q) for p, q in zip(label, STUDENT)) for label in (CLICK, TEACHER))
COST_OF_8, COST_OF_9 = {"7": 2.0, "": 2.4}, {"7, 8": 1.0, "7": 1.4, "8": 1.8, "": 2.2}
MASKS = {kept: (COST_OF_8["7" if "7" in kept else ""], cost) for kept, cost in COST_OF_9.items()}
BIAS, VARIANCE = 2 * 0.4**2, 1 - 0.9**2 - 0.1**2  # of the teacher, and of a click
OLD = 0.8**10  # the weight of a rating ten days ago

# (chapter, title): the numbers of a slide, as they are printed there
COMPUTED = {
    ("01_rnn", "Three clicks through one unit"): [
        f"| 1 | 1 | 1 | {H1:.3f} |", f"| 2 | 0 | {0.5 * H1:.3f} | {H2:.3f} |",
        f"| 3 | 0 | {0.5 * H2:.3f} | {H3:.3f} |"],
    ("01_rnn", "A gradient goes back through two steps"): [
        f"{H2:.3f}. How", rf"1 - {H2:.3f}^2$ | {D2:.3f} |", rf"0.5 \cdot {D2:.3f}$ | {0.5 * D2:.3f} |",
        rf"(1 - {H1:.3f}^2) \cdot {0.5 * D2:.3f}$ | {D1:.3f} |",
        rf"{D2:.3f} \cdot {H1:.3f} + {D1:.3f} \cdot 0 = {D2 * H1:.3f}$"],
    ("01_rnn", "Twenty steps back, a factor at each"): [
        f"| 0.5 | {0.5**20:.6f} |", f"| 0.9 | {0.9**20:.2f} |", f"| 1.1 | {1.1**20:.1f} |", f"| 1.5 | {1.5**20:.0f} |"],
    ("01_rnn", "Exploded gradients can be clipped"): [f"has length {(30**2 + 40**2)**0.5:.0f}", "(3, 4)"],
    ("01_rnn", "Keep, and write a little"): [rf"0.9 \cdot 2.0 + 0.5 \cdot (-0.4) = {0.9 * 2 + 0.5 * -0.4:.1f}"],
    ("01_rnn", "The GRU mixes old and new"): [rf"(1 - 0.2) \cdot 1 + 0.2 \cdot (-1) = {(1 - 0.2) * 1 + 0.2 * -1:.1f}"],
    ("01_rnn", "Which cell carries more gradient over 40 steps?"): [
        rf"10^{{{log(0.5**40, 10):.0f}}}$", rf"\sigma(3) = {sigmoid(3):.2f}",
        rf"\sigma(3)^{{40}} = {sigmoid(3)**40:.2f}"],
    ("01_rnn", "A vanilla cell can remember"): [
        rf"\tanh(5 \cdot {STORED}) = {tanh(5 * STORED):.4f}", rf"5\,(1 - {STORED}^2) = {5 * (1 - STORED**2):.3f}",
        rf"0.001^{{40}} = 10^{{{40 * log(0.001, 10):.0f}}}"],
    ("02_gru4rec", "A score is a product"): [
        f"0.1 | **{1 * 2 + -1 * 0.5 + 0.1:.1f}** |", f"0.3 | **−{-(1 * 0.5 + -1 * 1 + 0.3):.1f}** |"],
    ("02_gru4rec", "After how many steps is the epoch over?"): [
        f"3+1+4+2+1+2+5+1 = {sum((4, 2, 5, 3, 2, 3, 6, 2)) - 8}$ predictions", rf"= {-(-19 // 3)}$ steps"],
    ("02_gru4rec", "Scoring every item costs too much"): [
        f"37,483 · 100 = {37_483 * 100:,}", f"{32 + 2048:,} · 100 = {(32 + 2048) * 100:,}", "Eighteen times less"],
    ("02_gru4rec", "Draw negatives by a power of popularity"): [
        f"| {clicks} | {clicks / 111:.0%} | {clicks**0.5 / (10 + 10**0.5 + 1):.0%} | {1 / 3:.0%} |".replace("%", " %")
        for clicks in (100, 10, 1)],
    ("02_gru4rec", "More probable, or more than usual?"): [
        f"20 % | {0.20 / 0.10:.0f} |", f"4 % | **{0.04 / 0.01:.0f}** |"],
    ("02_gru4rec", "Tell the model how often an item was drawn"): [
        rf"\log {p:.2f} = {log(p):.2f}$ | −{-log(q):.2f} | {log(p / q):.2f} |" for p, q in ((0.2, 0.1), (0.04, 0.01))],
    ("02_gru4rec", "Count who scores higher"): [f"is {sum(r > 0.5 for r in (0.9, 0.2, 0.7, -1)) / 4:.1f}"],
    ("02_gru4rec", "Two losses with numbers"): [
        rf"-\log {sigmoid(-1):.3f} = {-log(sigmoid(-1)):.2f}",
        rf"{sigmoid(1):.3f} + {sigmoid(4):.3f} = {sigmoid(1) + sigmoid(4):.2f}",
        f"BPR is {-log(sigmoid(8)):.4f}, TOP1 still {sigmoid(-8) + sigmoid(4):.2f}"],
    ("02_gru4rec", "The strongest negative counts most"): [
        ", ".join(f"{weight:.3f}" for weight in WEIGHTS), f"/3 = {sum(PASSED) / 3:.2f}",
        rf"({PASSED[0]:.3f} + {PASSED[1]:.3f} + {PASSED[2]:.3f})", f"= {sum(map(prod, zip(WEIGHTS, PASSED))):.2f}"],
    ("02_gru4rec", "Items seen often get small steps"): [
        rf"0.1 \cdot 1 / 10 = {0.1 / 100**0.5:.2f}", rf"0.1 \cdot 1 / 1 = {0.1 / 1**0.5:.1f}"],
    ("05_joint", "An example: one rating and one review"): [
        f"{precision(1, tokens):.0f}$ | ${1 / precision(1, tokens):.2f}$" for tokens in (0, 1)],
    ("05_joint", "The best possible error"): [
        rf"{variance:.2f} + 1}} \approx {sqrt(variance + 1):.2f}$"
        for variance in (1 / precision(1, 1), 1 / precision(1, 0))],
    ("05_joint", "Where does a review help more?"): [
        rf"\frac1{{{precision(10, 0):.0f}}}$ to", rf"\frac1{{{precision(10, 10):.0f}}}$",
        rf"\frac1{precision(1, 0):.0f}$ to", rf"\frac1{precision(1, 1):.0f}$"],
    ("05_joint", "A text is written one character at a time"): [
        rf"\tfrac1{{{4 * 2 * 2}}} \approx {log(4 * 2 * 2):.2f}"],
    ("05_joint", "What the writer is told: an example"): [
        rf"\tanh({0.5 - 2:.1f}) \approx {tanh(0.5 - 2):.2f}", rf"\tanh({0.5 + 2:.1f}) \approx {tanh(0.5 + 2):.2f}"],
    ("05_joint", "From the state to the next character"): [
        ", ".join(f"${p:.2f}$" for p in softmax(2, 1, 0))],
    ("05_joint", "How much should a long review count?"): [f"120 / 100 = {120 / 100}"],
    ("05_joint", "One loss for both"): [rf"0.25 + 0.1 \cdot 120 / 100 = {0.25 + 0.1 * 120 / 100:.2f}"],
    ("05_joint", "How much of the possible gain is that?"): [rf"\frac1{(1.2 - 1.1) / (1.2 - 1.15):.0f} "],
    ("05_joint", "When quality moves"): [
        rf"0.95^{{10}} \approx {0.95**10:.2f}", rf"0.8^{{10}} \approx {0.8**10:.2f}"],
    ("05_joint", "Perplexity: among how many would you choose?"): [f"perplexity is {sqrt(2 * 8):.0f}."],
    ("06_after", "An example: normalise, mix, add"): [
        f"({mixed(0)}, {mixed(1)}) = ({6 + mixed(0)}, {2 + mixed(1)})"],
    ("06_after", "Second part: each row by itself"): [
        f"({gelu(-1):.2f}, {gelu(1):.2f}) = ({1 + gelu(-1):.2f}, {3 + gelu(1):.2f})"],
    ("06_after", "Attention by hand"): [
        r",\; ".join(f"{weight:.2f}" for weight in ASKED),
        rf"\approx {sum(map(prod, zip(ASKED, (4, 8, 2)))):.1f}$"],
    ("06_after", "The smallest GRU by hand"): [
        f"= {0.5 * 8:.0f}$ |", f"= {0.75 * 0.5 * 8:.0f}$ |", f"= {1 * 0.75 * 0.5 * 8:.0f}$ |"],
    ("06_after", "Two steps are one step"): [rf"\tfrac1{4 * 2} h_0 + {4 / 4 + 3:.0f}"],
    ("06_after", "How to join two steps"): [rf"(\frac1{4 * 2}, {4 / 4 + 3:.0f})"],
    ("06_after", "A scan of four clicks"): [
        f"| {name} | " + " | ".join(f"${x:.0f}$" for x in row) + " |"
        for name, row in zip(("$b_t$", "round 1", "round 2"), scanned([8, 0, 4, 2]))],
    ("06_after", "How many rounds?"): [f"{ceil(log2(8))} rounds, and {ceil(log2(1000))}, since $2^{{10}} = {2**10}$"],
    ("06_after", "A memory that fades and turns"): [
        rf"$-\frac1{-1 / (0.5j**2).real:.0f}$ | $-\frac1{-1 / (0.5j**3).imag:.0f} ",
        rf"\frac1{{{1 / (0.5j**4).real:.0f}}}$"],
    ("06_after", "One kind of loss for all four"): [rf"1 / (2 \cdot 0.01) = {1 / (2 * 0.01):.0f}$"],
    ("06_after", "What must be kept for a visitor?"): [
        f"= {2 * 64 * 4}$", f"{2 * 64 * 4 * 100_000 / 1e6:.0f} MB", f"{2 * 128 * 4 * 100:,}".replace(",", "{,}"),
        f"{2 * 128 * 4 * 100 * 100_000 / 1e9:.0f} GB"],
    ("03_improved", "The network stays as it was"): [rf"-\ln 0.5 = {-log(0.5):.2f}"],
    ("03_improved", "How much does the network read?"): [rf"1 + 2 + \dots + 19 = {sum(range(20))}$"],
    ("03_improved", "One pass has the same loss and the same gradient"): [f"{1.2 + 0.8:.1f}: the same terms"],
    ("03_improved", "One mask for the whole session: the same gradient on average"): [
        *(f"|{kept or 'nothing'}|{first}|{second}|{first + second:.1f}|" for kept, (first, second) in MASKS.items()),
        f"Mean: {sum(map(sum, MASKS.values())) / 4:.1f}.",
        f"${sum(COST_OF_8.values()) / 2:.1f} + {sum(COST_OF_9.values()) / 4:.1f} = {(2.0 + 2.4) / 2 + 6.4 / 4:.1f}$"],
    ("03_improved", "Why not: deletion is blind"): [
        f"{0.25 * 4:.0f} accident goes, and {0.25 * 6:.1f} good clicks",
        f"{0.75 * 4:.0f} accidents of {0.75 * 10:.1f} clicks", f"still {0.75 * 4 / (0.75 * 10):.1f}"],
    ("03_improved", "Learn from the click and from the teacher"): [
        *(f"|{'|'.join(map(str, label))}|" for label in (CLICK, TEACHER, STUDENT)),
        f"{BY_CLICK:.2f} by the click, {BY_TEACHER:.2f} by the teacher", f"{(BY_CLICK + BY_TEACHER) / 2:.2f}."],
    ("03_improved", "Let the teacher see both"): [
        rf"0.6 \cdot 0.5 + 0.4 = {0.6 * 0.5 + 0.4:.1f}$", f"${0.6 * 0.5:.1f} / 0.7$",
        rf"0.7 \cdot \tfrac{{0.3}}{{0.7}} + 0.3 \cdot 1 = {0.7 * (0.3 / 0.7) + 0.3:.1f}$"],
    ("03_improved", "On a chain of six items the bias is large"): [f"(0.4 + 0.4) = {(0.9 - 0.5 + 0.5 - 0.1) / 2:.1f}$"],
    ("03_improved", "A wrong teacher can help a student who has seen little"): [
        " | ".join([f"$n = {n}$", *(f"{lam**2 * BIAS + (1 - lam)**2 * VARIANCE / n:.3f}" for lam in (0, 0.3, 1))])
        for n in (1, 100)],
    ("03_improved", "The bias stays, the variance shrinks"): [
        rf"\lambda^2 \cdot {BIAS:.2f} + (1 - \lambda)^2 \cdot {VARIANCE:.2f} / n"],
    ("03_improved", "Name a point instead of a million scores"): [
        f"cosine ${3 * 4 + 4 * 3} / {5 * 5}$, cost {1 - 24 / 25:.2f}", f"cosine {3 * -4 + 4 * 3}, cost {1 - 0}"],
    ("04_rrn", "How an error is measured"): [f"= {((0.5**2 + 1**2) / 2)**0.5:.2f}"],
    ("04_rrn", "Matrix factorisation: nothing in it moves"): [
        f"inner product {1 * 0.8 - 0.5 * 0.4:.1f}", f"= {3.5 - 0.2 + 0.4 + 0.6:.1f}$"],
    ("04_rrn", "Kept up to date: a small ridge regression"): [
        rf"\frac{{1 + 2}}{{2 + 1}} = {(1 + 2) / (2 + 1):.0f}", f"p = {1 + 2 + 0}/{3 + 1}$"],
    ("04_rrn", "A world whose tastes drift by a known law"): [f"0.97^{{30}} = {0.97**30:.2f}$"],
    ("04_rrn", "How to follow a taste: one day of the optimum"): [
        f"1 / (1 + 0.25) = {1 / (1 + 0.25):.1f}$. New mean: {0.8 * 1.0:.1f}. New variance: {(1 - 0.8) * 1:.1f}.",
        rf"0.97 \cdot 0.8 = {0.97 * 0.8:.3f}$", rf"\cdot 0.2 + 1 - 0.97^2 = {0.97**2 * 0.2 + 1 - 0.97**2:.3f}$"],
    ("04_rrn", "A ridge that forgets"): [
        f"0.8^{{10}} = {OLD:.2f}$", f"(2 - 1) / (2 + 1) = {(2 - 1) / (2 + 1):.2f}$",
        f"= {(OLD * 2 - 1) / (OLD + 2):.2f}$"],
    ("04_rrn", "Zeros need not be stored"): [f"= ({2 * 1 - 0.5}, {2 * 0 - 2})$"],
    ("04_rrn", "The prediction"): [
        f"product {1 * 0.4 - 0.5 * 0.2:.1f}", f"product {0.2 * 1}. The sum is {0.3 + 0.2:.1f}"],
    ("04_rrn", "An anchor for each user and film"): [f"the product is {1 * 0.5 - 0 * 1}", f"${0 * 0.5 + 1 * -1:.0f}$"],
}


def test_a_scan_ends_with_the_states_of_the_loop():
    state, loop = 0, []
    for b in (8, 0, 4, 2):
        state = 0.5 * state + b
        loop.append(state)
    assert scanned([8, 0, 4, 2])[-1] == loop


@pytest.mark.parametrize(("stem", "title"), COMPUTED, ids=lambda text: re.sub(r"\W+", "-", text))
def test_numbers_of_a_slide(stem, title):
    text = slides_of(stem)[title]
    assert [number for number in COMPUTED[stem, title] if number not in text] == []
