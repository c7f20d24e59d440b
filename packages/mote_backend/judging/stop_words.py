"""The commonest small words of languages in Latin script: enough to tell a sentence's language, open to changes."""

# ruff: noqa: RUF001 (words of many languages)

from __future__ import annotations

STOP_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the of and to in is that it for was on are with as his they be at one have this from or had by but what "
        "some we can out other were all there when up use your how said an each she which do their if will not you i "
        "he has been its who would about into than them could these no my me so because",
        "de": "der die das und ist in zu den von mit sich des auf für nicht ein eine einen einem einer dem es im auch "
        "als an werden aus er hat dass sie nach wird bei noch um am sind war haben nur oder aber vor zur bis "
        "mehr durch "
        "man sein wurde ich wir ihr du kann wie so wenn über diese dieser weil",
        "fr": "le la les de des du un une et est à dans que qui en il elle pour pas sur ce se ne par plus avec au aux "
        "sont cette ces son sa ses ou mais comme nous vous je on été être fait leur leurs même où y d' l' qu' n' s' "
        "c' j' a ont était très parce",
        "es": "el la los las de del que y en un una ser es se no por con para como más pero sus le ya o este sí porque "
        "esta entre cuando muy sin sobre también me hasta hay donde quien desde todo nos durante uno ni al su lo fue "
        "son está ha yo tú",
        "it": "il lo la gli le di del della dei delle che e è un una in per non con si come più ma sono da dal "
        "dalla al "
        "alla nel nella questo questa ha ho anche se su sul sulla lui lei noi io era o cui perché molto essere stato "
        "l' d' c' un'",
        "pt": "o a os as de do da dos das que e é em um uma para com não por mais como mas ao ele ela foi ser se na no "
        "nas nos seu sua ou quando muito já eu também só pelo pela até isso entre era depois sem mesmo são está você "
        "porque",
        "nl": "de het een en van is in dat op te zijn met voor niet die er aan ook als bij maar om uit door over "
        "ze zich "
        "dan nog wel naar heeft hij zij wij ik je u wordt was deze kan geen worden omdat of",
        "sv": "och att det i en som är på för av med den till inte har de ett om var men jag du han hon vi så från kan "
        "när nu ska eller vid hur sin där efter mycket blir vara också",
        "pl": "i w na z do nie że się to jest o jak ale po co tak za od przez przy dla już tylko może być był "
        "była było "
        "są czy ten ta te tym tego który która które jego jej ich oraz ponieważ",
        "tr": "ve bir bu da de için ile ne gibi çok daha o var ama olarak en kadar sonra değil olan mi mı ben sen biz "
        "siz her ya ki şey oldu olduğu çünkü hem ise",
        "id": "yang dan di ke dari ini itu untuk dengan pada adalah tidak dalam akan juga oleh saya kami kita "
        "mereka ada "
        "atau bisa sudah karena lebih telah tersebut sebagai anda dia seperti",
        "vi": "và của là có không được trong cho các một những người với này đã để khi từ như về tôi bạn cũng ra thì "
        "nhưng đến lại vì sẽ rất nhiều",
    }.items()
}
