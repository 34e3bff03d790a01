"""What a report says, without its looks."""

from reported import png

from medvol.study.judging.deciding import WORDS
from medvol.study.reporting.document import SIGNS, Document, Picture, Prose, Section, Table


def test_every_word_of_a_verdict_has_a_sign_of_its_own():
    assert set(SIGNS) == set(WORDS)
    assert len(set(SIGNS.values())) == 4


def test_a_picture_knows_its_size():
    picture = Picture("a", png(300, 7), "alt", "caption")
    assert (picture.width, picture.height) == (300, 7)


def test_words_stand_at_both_ends_of_a_table():
    table = Table("caption", ("arm", "mean", "patients", "cost"), (), words=1, texts=1)
    assert [table.is_number(place) for place in range(4)] == [False, True, True, False]


def test_pictures_come_in_their_order():
    a, b = (Picture(name, png(1, 1), "", "") for name in "ab")
    sections = (Section("one", "One", (Prose("text"), a)), Section("two", "Two", (b,)))
    assert Document("", "", "", (), (), None, sections).pictures == (a, b)
