"""Everything that a sweep file can get wrong: the line, the key, what was found, what is allowed."""

from __future__ import annotations

import pytest

from fiabench.cases import check
from fiabench.cases.errors import InputError

HEAD = """\
name: test
about: A test.
geometry: {heads: 8, head_dim: 64}
"""
"""Three lines; what each test adds begins on line 4."""

BAD = [
    # unknown keys
    ("axis: {}", "4:1", "axis", "the unknown key axis", "did you mean axes?"),
    ("axes: {ulises: [1]}", "4:8", "axes.ulises", "the unknown key ulises", "did you mean ulysses?"),
    ("sampling: {seconds: 3}", "4:12", "sampling.seconds", "the unknown key seconds", "max_seconds"),
    ("exclude:\n  - {when: {tp: {bellow: 2}}, because: x}", "5:18", "exclude[0].when.tp.bellow",
     "the unknown key bellow", "did you mean below?"),
    # wrong types, strictly
    ("axes: {seq_len_q: [1, '8']}", "4:23", "axes.seq_len_q[1]", "'8' (a string)", "write 8"),
    ("axes: {seq_len_q: [1e6]}", "4:20", "axes.seq_len_q[0]", "'1e6' (a string)", "write 1000000"),
    ("axes: {ulysses: [1, 2, four]}", "4:24", "axes.ulysses[2]", "'four' (a string)", "a whole number from 1"),
    ("axes: {ulysses: [true]}", "4:18", "axes.ulysses[0]", "true (a boolean)", "a whole number from 1"),
    ("axes: {ulysses: [2.0]}", "4:18", "axes.ulysses[0]", "2.0", "a whole number from 1"),
    ("axes: {ulysses: 2}", "4:17", "axes.ulysses", "2", "write [2]"),
    ("axes: {ulysses: {from: 1, to: 2, step: 1}}", "4:17", "axes.ulysses", "a mapping of from, to, step", "a list"),
    ("axes: [1]", "4:7", "axes", "a list of 1", "a mapping of seq_len_q"),
    ("about2: 1\nsampling: 3", "5:11", "sampling", "3", "a mapping of criterion, half_width"),
    ("axes: {seq_len_q: [null]}", "4:20", "axes.seq_len_q[0]", "nothing", "a whole number from 1"),
    ("axes: {seq_len_q: [{a: 1}]}", "4:20", "axes.seq_len_q[0]", "a mapping of a", "a whole number from 1"),
    ("constants: {mask: no}", "4:19", "constants.mask", "no, which YAML reads as false", "none, causal"),
    ("constants: {mask: casual}", "4:19", "constants.mask", "'casual' (a string)", "none, causal"),
    ("constants: {batch: 12:30}", "4:20", "constants.batch", "12:30, which YAML reads as 750", "quotes"),
    ("constants: {batch: 010}", "4:20", "constants.batch", "010, which YAML reads as 8", "a whole number"),
    ("constants: {op: fiaa}", "4:17", "constants.op", "'fiaa' (a string)", "did you mean fia?"),
    ("measure: kernal", "4:10", "measure", "'kernal' (a string)", "ulysses, kernel, exchange"),
    ("sampling: {max_seconds: .inf}", "4:25", "sampling.max_seconds", ".inf, which YAML reads as inf", "seconds"),
    ("sampling: {half_width: 1.5}", "4:24", "sampling.half_width", "1.5", "between 0 and 1"),
    ("sampling: {max_seconds: true}", "4:25", "sampling.max_seconds", "true (a boolean)", "seconds"),
    # nothing, too little, too much
    ("axes: {ulysses: []}", "4:17", "axes.ulysses", "an empty list", "at least one entry"),
    ("axes:\n  ulysses:", "5:11", "axes.ulysses", "nothing", "a list"),
    ("axes: {ulysses: [0]}", "4:18", "axes.ulysses[0]", "0", "from 1"),
    ("axes: {seq_len_q: [-1]}", "4:20", "axes.seq_len_q[0]", "-1", "from 1"),
    ("constants: {threads: -1}", "4:22", "constants.threads", "-1", "from 0"),
    ("axes: {seq_len_q: [9999999999]}", "4:20", "axes.seq_len_q[0]", "9999999999", "1,073,741,824"),
    ("exclude: [{when: {}, because: x}]", "4:18", "exclude[0].when", "no condition", "at least one axis"),
    ("exclude: [{when: {tp: {}}, because: x}]", "4:23", "exclude[0].when.tp", "no bound", "below"),
    ("exclude: [{when: {tp: 2}}]", "4:11", "exclude[0]", "no because", "required"),
    ("exclude: [{when: {tp: 2}, because: ''}]", "4:36", "exclude[0].because", "'' (a string)", "text"),
    ("include: [{}]", "4:11", "include[0]", "an empty point", "axes"),
    ("include: [{seq_len_q: [8]}]", "4:23", "include[0].seq_len_q", "a list of 1", "a whole number"),
    ("include: [{seq_len_q: {from: 1, to: 2, step: 1}}]", "4:23", "include[0].seq_len_q", "a mapping", "a whole"),
    # ranges and videos
    ("axes: {seq_len_q: [{from: 8, to: 4, step: 1}]}", "4:20", "axes.seq_len_q[0]", "from 8, to 4", "not below"),
    ("axes: {seq_len_q: [{from: 8, to: 16, step: 0}]}", "4:44", "axes.seq_len_q[0].step", "0", "from 1"),
    ("axes: {seq_len_q: [{from: 8, to: 16, times: 1}]}", "4:45", "axes.seq_len_q[0].times", "1", "at least 2"),
    ("axes: {seq_len_q: [{from: 8, to: 16}]}", "4:20", "axes.seq_len_q[0]", "from 8, to 16", "either step or times"),
    ("axes: {seq_len_q: [{from: 8, to: 16, step: 2, times: 2}]}", "4:20", "axes.seq_len_q[0]", "step 2, times 2",
     "either step or times"),
    ("axes: {seq_len_q: [{from: 8, step: 2}]}", "4:20", "axes.seq_len_q[0]", "no to", "required"),
    ("axes: {seq_len_q: [{from: 1, to: 1000000000, step: 1}]}", "4:20", "axes.seq_len_q[0]", "to 1000000000",
     "at most 2,000,000 values"),
    ("axes: {seq_len_q: [{video: {width: 1280, height: 721, frames: 81}}]}", "4:20", "axes.seq_len_q[0]",
     "a video of 1280 x 721 with 81 frames", "a height that is a multiple of 16"),
    ("axes: {seq_len_q: [{video: {width: 1281, height: 720, frames: 81}}]}", "4:20", "axes.seq_len_q[0]",
     "1281 x 720", "a width that is a multiple of 16"),
    ("axes: {seq_len_q: [{video: {width: 1280, height: 720, frames: 80}}]}", "4:20", "axes.seq_len_q[0]",
     "80 frames", "one more than a multiple of 4"),
    ("axes: {seq_len_q: [{video: {width: 1280, height: 720}}]}", "4:28", "axes.seq_len_q[0].video", "no frames",
     "required"),
    # the same thing in two places
    ("axes: {tp: [1]}\naxes: {tp: [1]}", "5:1", "axes", "axes again, first on line 4", "every key once"),
    ("axes: {tp: [1], tp: [2]}", "4:17", "axes.tp", "tp again, first on line 4", "every key once"),
    ("axes: {tp: [1, 2]}\nconstants: {tp: 1}", "5:13", "constants.tp", "tp again, first on line 4", "one place"),
    ("axes: {tp: [1, 2]}\nzip:\n  - {tp: [1, 2], batch: [1, 2]}", "6:6", "zip[0].tp", "tp again", "one place"),
    ("zip:\n  - {tp: [1, 2]}\n  - {tp: [1, 2]}", "6:6", "zip[1].tp", "tp again, first on line 5", "one place"),
    ("zip:\n  - {tp: [1, 2], batch: [1, 2, 3]}", "5:5", "zip[0]", "tp with 2, batch with 3", "the same length"),
    ("zip: [{}]", "4:7", "zip[0]", "an empty group", "axes"),
    ("axes: {seq_len_q: [8, 16, 8]}", "4:27", "axes.seq_len_q[2]", "seq_len_q 8 again, first on line 4", "once"),
    ("axes:\n  seq_len_q:\n    - 25200\n    - {video: {width: 1280, height: 720, frames: 25}}", "7:7",
     "axes.seq_len_q[1]", "seq_len_q 25200 again, first on line 6", "once"),
    ("axes: {seq_len_q: [{from: 8, to: 32, times: 2}, 16]}", "4:49", "axes.seq_len_q[1]", "16 again", "once"),
    ("zip: [{seq_len_q: [8, 8], batch: [1, 1]}]", "4:23", "zip[0].seq_len_q[1]", "seq_len_q 8 batch 1 again", "once"),
    ("axes: {seq_len_q: [8, 16], seq_len_kv: [same, 16]}", "4:47", "axes.seq_len_kv[1]",
     "16 where seq_len_q is 16 and `same` is given too", "every point once"),
    ("axes: {seq_len_q: [8], kv_heads: [same, 8]}", "4:41", "axes.kv_heads[1]", "where heads is 8", "once"),
    ("axes: {seq_len_q: [8, 16]}\ninclude:\n  - {seq_len_q: 16}", "6:5", "include[0]", "a point that axes and zip give",
     "once"),
    ("axes: {seq_len_q: [8], seq_len_kv: [same]}\ninclude: [{seq_len_q: 8, seq_len_kv: 8}]", "5:11", "include[0]",
     "a point that axes and zip give", "once"),
    ("axes: {seq_len_q: [8]}\ninclude:\n  - {seq_len_q: 16}\n  - {seq_len_q: 16}", "7:5", "include[1]",
     "this point again, first on line 6", "once"),
    # what does not belong together
    ("axes: {seq_len_q: [8], exchange_bytes: [64]}", "4:24", "axes.exchange_bytes",
     "exchange_bytes, which means nothing where measure is ulysses", "seq_len_q, "),
    ("axes: {seq_len_q: [8], ulysses: [1, 2]}\ninclude: [{seq_len_q: 16}]", "5:11", "include[0]",
     "no ulysses, which has several values", "ulysses with one value"),
    ("constants: {seq_len_q: 8}\nsampling: {min_samples: 300}", "5:25", "sampling.min_samples",
     "min_samples 300 and max_samples 200", "no more of the first"),
    ("constants: {seq_len_q: 8}\nsampling: {criterion: fixed_cont}", "5:23", "sampling.criterion",
     "'fixed_cont'", "median_interval, fixed_count, fixed_time"),
    ("constants: {seq_len_q: 8}\nsampling: {max_seconds: 0, criterion: fixed_time}", "5:25", "sampling.max_seconds",
     "0 s with criterion fixed_time", "seconds above 0"),
    ("axes: {tp: [1]}", "4:1", "axes", "no seq_len_q", "seq_len_q in axes or constants"),
    # shards that cannot be
    ("axes: {seq_len_q: [960], ulysses: [1, 2, 3]}", "4:42", "axes.ulysses[2]", "ulysses 3 does not divide 8 heads",
     "1, 2, 4, 8"),
    ("axes: {seq_len_q: [960]}\nconstants: {tp: 3}", "5:17", "constants.tp", "tp 3 does not divide 8 heads", "tp that"),
    ("axes: {seq_len_q: [960]}\nzip: [{tp: [1, 2], ulysses: [8, 8]}]", "5:33", "zip[0].ulysses[1]",
     "ulysses 8 does not divide the 4 heads that tp 2 leaves of 8", "1, 2, 4 with tp 2"),
    ("axes: {seq_len_q: [1000, 1001], ulysses: [2]}", "4:26", "axes.seq_len_q[1]",
     "ulysses 2 does not divide 1,001 tokens", "multiples of 2"),
    ("axes: {seq_len_q: [1000], seq_len_kv: [77], ulysses: [2]}", "4:40", "axes.seq_len_kv[0]",
     "ulysses 2 does not divide 77 key tokens", "multiples of 2"),
    ("constants: {seq_len_q: 8, kv_heads: 3}", "4:37", "constants.kv_heads", "3 kv heads of 8 heads", "divide 8"),
    ("constants: {seq_len_q: 8}\ninclude: [{seq_len_q: 9, ulysses: 2}]", "5:23", "include[0].seq_len_q",
     "ulysses 2 does not divide 9 tokens", "multiples of 2"),
    # limits of the operator
    ("constants: {seq_len_q: 8, heads: 128, kv_heads: 1}", "4:49", "constants.kv_heads", "128 query heads for each",
     "at most 64"),
    ("constants: {seq_len_q: 8, head_dim: 72}", "4:37", "constants.head_dim", "head dim 72", "multiples of 16"),
    ("constants: {seq_len_q: 8, head_dim: 1024}", "4:37", "constants.head_dim", "head dim 1024", "at most 512"),
    ("axes: {seq_len_q: [20971521]}", "4:20", "axes.seq_len_q[0]", "20,971,521 tokens", "at most 20,971,520"),
    ("constants: {seq_len_q: 1, seq_len_kv: 262145}", "4:39", "constants.seq_len_kv", "262,145 key tokens", "262,144"),
    ("constants: {seq_len_q: 8, heads: 512}", "4:34", "constants.heads", "512 query heads in one rank's kernel", "256"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place", "key", "found", "allowed"), BAD, ids=[f"{row[2]}-{row[3][:20]}" for row in BAD]
)
def test_one_thing_wrong(problems, text, place, key, found, allowed):
    told = problems(HEAD + text)
    matching = [p for p in told if (f"{p.line}:{p.column}", p.key) == (place, key) and found in p.found]
    assert matching, "\n".join(map(str, told))
    assert allowed in str(matching[0])
    assert str(matching[0]).split("sweep.yaml:")[1].startswith(f"{place}: {key}: found ")


EXCHANGE = "name: test\nabout: A test.\nmeasure: exchange\n"


@pytest.mark.parametrize(
    ("text", "place", "key", "found", "allowed"),
    [
        ("axes: {exchange_bytes: [64], ulysses: [1]}", "4:40", "axes.ulysses[0]", "1 rank", "at least 2 ranks"),
        ("axes: {exchange_bytes: [64]}", "4:1", "axes", "no ulysses", "axes or constants"),
        ("axes: {exchange_bytes: [66], ulysses: [4]}", "4:25", "axes.exchange_bytes[0]",
         "66 bytes are no multiple of 8", "divide"),
        ("axes: {exchange_bytes: [64 KB], ulysses: [4]}", "4:25", "axes.exchange_bytes[0]", "'64 KB'",
         "KB is not used"),
        ("axes: {exchange_bytes: [{model: wan-14c, seq_len_q: 8}], ulysses: [4]}", "4:33",
         "axes.exchange_bytes[0].model", "'wan-14c'", "did you mean wan-14b?"),
        ("axes: {exchange_bytes: [{model: wan-1.3b, seq_len_q: 800}], ulysses: [8]}", "4:25", "axes.exchange_bytes[0]",
         "ulysses 8 does not divide the 12 heads of wan-1.3b", "divide"),
        ("axes: {exchange_bytes: [64], ulysses: [2], tp: [2]}", "4:44", "axes.tp", "tp, which means nothing",
         "ulysses"),
        ("axes: {ulysses: [2]}", "4:1", "axes", "no exchange_bytes", "axes or constants"),
        ("geometry: {heads: 8}\naxes: {ulysses: [2], exchange_bytes: [64]}", "4:1", "geometry",
         "geometry, which means nothing where measure is exchange", "no such key"),
    ],
)  # fmt: skip
def test_one_thing_wrong_with_an_exchange(problems, text, place, key, found, allowed):
    told = problems(EXCHANGE + text)
    matching = [p for p in told if (f"{p.line}:{p.column}", p.key) == (place, key) and found in p.found]
    assert matching, "\n".join(map(str, told))
    assert allowed in str(matching[0])


def test_everything_at_once_in_the_order_of_the_file(problems):
    told = problems(
        """
        name: not a name
        abuot: typo
        geometry: {model: wan-14b}
        axes:
          seq_len_q: [25200, x]
          ulysses: [1, 16]
        constants: {op: fia}
        sampling: {half_width: 2}
        about: A test.
        """
    )
    assert [(problem.line, problem.key) for problem in told] == [
        (1, "name"),
        (2, "abuot"),
        (5, "axes.seq_len_q[1]"),
        (6, "axes.ulysses[1]"),  # 16 does not divide 40 heads: found although other things are wrong
        (8, "sampling.half_width"),
    ]


def test_an_error_is_told_once_for_all_the_points_it_spoils(problems):
    told = problems(
        HEAD + "axes: {seq_len_q: [{from: 1000, to: 9000, step: 1}], ulysses: [1, 2], batch: [1, 2, 3], tp: [1, 2]}\n"
    )
    assert len(told) == 1
    assert told[0].key == "axes.seq_len_q[0]"
    assert "1,001 tokens" in told[0].found


def test_exclusions_spare_a_sweep_its_impossible_points(sweep, problems):
    text = HEAD + "axes: {seq_len_q: [960, 1920], ulysses: [1, 3]}\n"
    assert len(problems(text)) == 1
    sweep(text + "exclude: [{when: {ulysses: 3}, because: odd}]")
    sweep(text + "exclude: [{when: {ulysses: 3, seq_len_q: {above: 100}}, because: odd}]")
    assert len(problems(text + "exclude: [{when: {ulysses: 3, seq_len_q: {above: 1000}}, because: odd}]")) == 1


def test_keys_that_are_no_text(problems):
    told = problems("name: t\nabout: x\non: 1\n5: 2\n? [1]\n: 3\n<<: {a: 1}\nq: !x {a: 1}\n")
    found = {(problem.line, problem.found) for problem in told}
    assert {
        (3, "the key on, which YAML reads as true"),
        (4, "the key 5"),
        (5, "a list or mapping as a key"),
        (7, "a merge key"),
        (8, "the unknown key q"),
    } <= found


def test_unknown_profiles(problems):
    text = HEAD + "constants: {seq_len_q: 8}\nprofiles:\n  quick: {}\n  full: {}\n"
    (problem,) = problems(text, "quik")
    assert (problem.line, problem.found, problem.allowed) == (5, "no profile quik", "quick, full")
    assert problem.hint == "did you mean quick?"
    (problem,) = problems(HEAD + "constants: {seq_len_q: 8}\n", "quick")
    assert problem.allowed == "none: this sweep has no profiles"


def test_a_profile_that_nobody_asked_for_is_checked_too(problems):
    (problem,) = problems(HEAD + "constants: {seq_len_q: 8}\nprofiles:\n  quick: {axes: {tp: [x]}}\n")
    assert (problem.line, problem.key) == (6, "profiles.quick.axes.tp[0]")


def test_what_a_profile_spoils_is_shown_in_the_profile(problems):
    text = HEAD + "axes: {seq_len_q: [960], ulysses: [1, 2]}\nprofiles:\n  odd:\n    axes: {ulysses: [1, 3]}\n"
    (problem,) = problems(text, "odd")
    assert (problem.line, problem.key) == (7, "profiles.odd.axes.ulysses[1]")


def test_too_many_points(problems, monkeypatch):
    monkeypatch.setattr(check, "MAX_POINTS", 5)
    (problem,) = problems(HEAD + "axes: {seq_len_q: [8, 16, 24], tp: [1, 2]}\n")
    assert (problem.line, problem.found, problem.allowed) == (4, "6 points", "at most 5")


def test_plain_errors_are_one_sentence():
    assert str(InputError.plain("No device named tpu.")) == "No device named tpu."
