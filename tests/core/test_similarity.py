"""Two texts are compared by their words; figures and names that changed are progress, other words for the same are not."""

from __future__ import annotations

import pytest

from mas_guard.similarity import LONGEST, made_progress, numbers_of, similarity, sketch, together

PLAN = "We launch in Oslo on 4 May. The press is told two days earlier, and Anna presents it."
REWORDED = "The launch is in Oslo, on 4 May; the press hears of it two days before that, and Anna is presenting."


def alike(first: str, second: str) -> float:
    return similarity(sketch(first), sketch(second))


def progress(first: str, second: str) -> bool:
    return made_progress(sketch(first), sketch(second))


def test_a_text_is_like_itself_and_unlike_another() -> None:
    assert alike(PLAN, PLAN) == 1.0
    assert alike(PLAN, "Your invoice was refunded yesterday; nothing else is open.") < 0.1


def test_order_case_and_punctuation_make_no_difference() -> None:
    assert alike("Anna presents; Bo writes.", "BO WRITES - anna presents") == 1.0


def test_a_text_with_one_word_changed_is_nearly_the_same() -> None:
    assert 0.8 < alike(PLAN, PLAN.replace("press", "public")) < 1.0


@pytest.mark.parametrize("text", ["", " ", "…!?", "\ud800", "0"])
def test_texts_without_words_are_alike_only_where_they_are_equal(text: str) -> None:
    assert alike(text, text) == 1.0
    assert alike(text, PLAN) == 0.0
    assert alike(text, text + "-") in (0.0, 1.0)
    assert alike("", "!!!") == 0.0


def test_texts_written_without_spaces_are_compared_by_pairs_of_characters() -> None:
    weather = "今天的天气非常好我们决定去公园散步然后回家吃晚饭"
    assert alike(weather, weather.replace("晚饭", "午饭")) > 0.7
    assert alike(weather, "请把这份报告翻译成英文并在明天之前发送给所有的同事们") < 0.2


def test_the_ends_of_a_long_text_are_compared_and_its_length_costs_nothing() -> None:
    huge = sketch("word " * 2_000_000 + "the end")
    assert huge.words == {b"word", b"the", b"end"}
    assert huge.length > LONGEST


def test_the_same_in_other_words_is_no_progress() -> None:
    assert not progress(PLAN, REWORDED)
    assert not progress(PLAN, PLAN)


def test_a_changed_figure_is_progress_in_an_equal_text() -> None:
    assert alike(PLAN, PLAN.replace("4 May", "5 May")) > 0.8
    assert progress(PLAN, PLAN.replace("4 May", "5 May"))
    assert not progress(PLAN, PLAN.replace(" on 4 May", ""))


def test_a_new_name_is_progress_and_a_word_that_begins_a_sentence_is_none() -> None:
    assert progress(PLAN, PLAN.replace("Anna", "Berit"))
    assert not progress(PLAN, PLAN.replace("The press is", "Reporters are"))


def test_an_answer_about_something_else_is_progress_without_figures_or_names() -> None:
    assert progress("we keep the old supplier for now", "shipping failed because customs wanted another form")
    assert not progress("we keep the old supplier for now", "")


def test_progress_is_judged_against_everything_said_before() -> None:
    first, second = sketch("It costs 40 in Oslo."), sketch("It costs 50 in Bergen.")
    known = together(first, second)
    assert made_progress(second, first)
    assert not made_progress(known, first)
    assert made_progress(known, sketch("It costs 60 in Bergen."))


def test_numbers_are_runs_of_digits_wherever_they_stand() -> None:
    assert numbers_of("v2: 1,250.75 of 10") == {b"2", b"1", b"250", b"75", b"10"}
    assert numbers_of("none") == frozenset()
