import pytest

from mote_backend.judging.languages import LanguageJudge

SENTENCES = {
    "en": "The capital of France is Paris, and it stands on the Seine.",
    "de": "Die Hauptstadt von Frankreich ist Paris.",
    "fr": "La capitale de la France est Paris. J'ai mangé l'orange qu'il a achetée.",
    "es": "La capital de Francia es París.",
    "it": "La capitale della Francia è Parigi.",
    "pt": "A capital da França é Paris.",
    "nl": "De hoofdstad van Frankrijk is Parijs.",
    "sv": "Frankrikes huvudstad är Paris och det är en stor stad.",
    "pl": "Stolicą Francji jest Paryż, który jest duży.",
    "tr": "Fransa'nın başkenti Paris ve çok güzel bir şehir.",
    "id": "Ibu kota Prancis adalah Paris, yang ada di sungai.",
    "vi": "Thủ đô của Pháp là Paris.",
    "zh": "法国的首都是巴黎。",
    "ja": "フランスの首都はパリです。",
    "ko": "프랑스의 수도는 파리입니다.",
    "ru": "Столица Франции — Париж.",
    "ar": "عاصمة فرنسا هي باريس.",
    "el": "Η πρωτεύουσα της Γαλλίας είναι το Παρίσι.",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_is_in_its_language(language):
    shares = LanguageJudge.explain(SENTENCES[language])
    assert next(iter(shares)) == language
    assert LanguageJudge(language)("", SENTENCES[language]) > 0.9
    assert sum(shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("reply", ["", "42", "Paris", "```python\nfor the in of: and\n```", "<think>the end"])
def test_without_words_that_tell_it_gives_no_score(reply):
    assert LanguageJudge("en")("", reply) is None


def test_a_reply_in_two_languages_is_shared_out():
    both = LanguageJudge.explain(f"{SENTENCES['en']}\n{SENTENCES['de']}")
    assert both["en"] > 0.3 and both["de"] > 0.3
    mixed = LanguageJudge.explain("The word is 你好 in Chinese.")
    assert 0 < mixed["zh"] < mixed["en"]
