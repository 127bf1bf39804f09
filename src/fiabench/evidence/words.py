"""What the page says beside its numbers: what each chapter is about, and what is known of misses."""

from __future__ import annotations

CHAPTERS = {
    "Settled numbers": (
        "A kernel of 5 ms on the simulated device, measured by the engine with the sampling that a sweep has by "
        "itself; the truth is the median of the planted distribution. The noise has a standard deviation of 1 %; "
        "two modes are 1 or 2 % apart, each a tenth of that wide. Intervals are those of `total`."
    ),
    "Two equal modes": (
        "The median lies where no sample is. Counted is what is called unsettled, or has a flag that names the modes."
    ),
    "Dependence, drift, throttling, sessions": (
        "Confidently wrong: `ok`, without any flag, and an interval that does not hold the truth, which is the "
        "undisturbed duration; in parts of all runs. Beside noise of 1 % a drift rises by its size in 30 samples, "
        "and throttling begins somewhere among the first 30. Sessions have levels of their own, of a standard "
        "deviation of 0.3 %. The last row is over bare series, the spread of three sessions pooled with that of 20 "
        "other cases."
    ),
    "Flags": (
        "Of changes of level, on one rank, only flags that name one count, in parts of the runs in which it came "
        "before the last sample began. The slow rank is one of four of an attention, and has to be named alone. "
        "Clean are runs with nothing but noise; there any flag counts."
    ),
    "Delays on simulated ranks": (
        "One of four ranks begins each iteration late. Counted are runs whose wait is the delay and at most 0.2 ms "
        "more, as ranks of 1 % noise wait for each other without a delay, and whose transfer is within 0.75 % of "
        "the undisturbed."
    ),
    "Samples to a settled number": (
        "The mean, in parts of what an oracle takes: the fewest samples, no fewer than 10, whose median lies within "
        "the wanted half-width of the truth in 95 % of series. On the CPU one run of a kernel is recorded, and its "
        "durations are put into a hundred random orders; fixed counts, of which the fewest that do so are the oracle, "
        "and the criterion, through the engine, take each. Asked for is the narrowest half-width of 0.5, 1, 2 and "
        "5 % that some fixed count of 80 or fewer reaches."
    ),
    "Real ranks": (
        "Processes over Gloo. One of as many as there are cores, four at most, sleeps before its first exchange, and "
        "its delay has to come back as the wait of the others: ranks that share a core are late of themselves. Between "
        "four the engine's aligned exchange is taken in turns with a bare `all_to_all_single` of as many bytes (6 MiB "
        "a rank), each as it took on the rank that came last. Closure is that of attentions of more than 20 ms on four "
        "ranks; a residual that is flagged is as good as one within the bound."
    ),
    "Comparisons": (
        "Two sides of bare series of 24 samples each, with noise of 1 % within sessions and 0.3 % between. False "
        "discoveries are those of 100 cases at once with three sessions a side."
    ),
}
"""Chapter to what was done."""
SETTLED, EQUAL, WRONG, FLAGS, DELAYS, SAMPLES, REAL, COMPARISONS = CHAPTERS

OPEN_DEPENDENCE = (
    "ten samples cannot rule out that they depend on each other; the interval is wider for it, and more are taken "
    "than who knows that they do not would take"
)
SURE_OF_MODE = (
    "a number settles only once an interval at 99.6 % lies within one mode, which takes some seventy samples of 70 "
    "and 30 %; an oracle knows beforehand which mode holds the median"
)
CAUTIOUS = "intervals that have to rule out dependence, or the other mode, are wider than the noise alone asks for"
WEAK = (
    "so weak a dependence is seen in a part of such short series only, and widens the interval too little in the others"
)
STRONG = (
    "200 samples that resemble each other this much are worth some ten independent ones, too few to tell how wide "
    "an interval has to be"
)
LATE_STEP = "a step in the last one or two samples cannot be told from noise"
SHARED_BOX = "four ranks shared the cores with each other and with whatever else ran: they are late of themselves"
RESTLESS = "no fixed count of 80 samples or fewer came within 5 % often enough on this box"
