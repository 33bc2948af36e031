"""Short stories with known facts, and questions about those facts.

A story is told from a dict of facts; each question names the fact that it asks for, so its answer is known.
"""
import words as w


def _facts(rng):
    f = {}
    f["who"] = w.name(rng)
    f["friend"] = w.name(rng, (f["who"],))
    f["kind"], f["fkind"] = rng.sample(w.ANIMALS, 2)
    if rng.random() < 0.25:
        f["kind"] = rng.choice(("girl", "boy"))
    f["sex"] = {"girl": 0, "boy": 1}.get(f["kind"], rng.randrange(2))
    f["trait"] = rng.choice(w.TRAITS)
    f["home"] = rng.choice(w.HOMES)
    f["color"], f["color2"] = rng.sample(w.COLORS, 2)
    f["thing"], f["thing2"] = rng.sample(w.THINGS, 2)
    f["place"], f["place2"] = rng.sample(w.PLACES, 2)
    f["food"] = rng.choice(w.FOODS)
    f["feel"] = rng.choice(w.FEELINGS)
    f["weather"] = rng.choice(w.WEATHER)
    f["day"] = rng.choice(w.DAYS)
    f["plot"] = rng.choice(sorted(PLOTS))
    return f


def _derive(f):
    f["he"], f["his"], f["him"] = (("she", "her", "her"), ("he", "his", "him"))[f["sex"]]
    f["He"] = f["he"].capitalize()
    f["a_trait"], f["a_kind"] = w.a(f["trait"]), w.a(f["kind"])
    f["a_fkind"], f["a_color"], f["a_color2"] = w.a(f["fkind"]), w.a(f["color"]), w.a(f["color2"])
    return f


OPEN = [
    "Once upon a time, {a_trait} {kind} named {who} lived {home}.",
    "There was once {a_trait} {kind} called {who}, who lived {home}.",
    "{who} was {a_trait} {kind} who lived {home}.",
]
FRIEND = [
    "{who} had a good friend, {a_fkind} named {friend}.",
    "{friend} the {fkind} was the best friend of {who}.",
    "{His_best} friend was {a_fkind} called {friend}.",
]
MEET = [
    "On the way {he} met {a_fkind} named {friend}.",
    "Then {a_fkind} named {friend} came along.",
    "Soon {a_fkind} called {friend} came by.",
]
MEAL = [
    "At home they ate {food} together.",
    "Then they sat down and ate {food}.",
    "In the evening they shared some {food}.",
]
END = [
    "{who} was very {feel} that night.",
    "At the end of the day, {who} felt {feel}.",
    "That night {who} went to bed and felt {feel}.",
]

PLOTS = {
    "lost": [
        ["One {weather} day, {who} lost {his} {color} {thing}.", "On a {weather} {day}, {who} could not find {his} {color} {thing}."],
        ["{He} looked for it {place}, but it was not there.", "{He} searched {place}, but the {thing} was not there."],
        MEET,
        ["\"I will help you,\" said {friend}.", "\"Do not worry, I can help you look,\" said {friend}."],
        ["They found the {thing} {place2}.", "Together they found the {thing} {place2}."],
        MEAL, END,
    ],
    "gift": [
        FRIEND,
        ["It was the birthday of {friend} on {day}.", "On {day} it was the birthday of {friend}."],
        ["{who} wanted to give {friend} something nice.", "{who} thought for a long time about a gift."],
        ["{He} found {a_color} {thing} {place}.", "{place_up}, {he} saw {a_color} {thing}."],
        ["{who} gave the {thing} to {friend}.", "\"This is for you,\" said {who}, and gave {friend} the {thing}."],
        ["\"Thank you, it is lovely,\" said {friend}.", "{friend} smiled and said thank you."],
        MEAL, END,
    ],
    "storm": [
        FRIEND,
        ["One {day}, a big storm came.", "On {day} the wind blew hard and a storm came."],
        ["The storm broke the house of {friend}.", "The roof of {friend} flew away in the storm."],
        ["\"Come and stay with me,\" said {who}.", "\"You can stay with me,\" said {who}."],
        ["They lit {a_color} {thing2_light} and told stories.", "{friend} brought {a_color} {thing2_light} along."],
        ["The next day they built a new house {place}.", "In the morning they built a new home {place}."],
        MEAL, END,
    ],
    "walk": [
        ["One {weather} day, {who} wanted to go for a walk.", "On a {weather} {day}, {who} went for a long walk."],
        ["{He} took {a_color} {thing} along.", "{He} packed {a_color} {thing} and left."],
        MEET,
        ["{friend} was lost and sad.", "{friend} could not find the way home."],
        ["{who} gave {friend} the {thing} and showed the way home.", "\"Take my {thing},\" said {who}, and they went home together."],
        ["The home of {friend} was {place}.", "{friend} lived {place}."],
        MEAL, END,
    ],
    "race": [
        FRIEND,
        ["On {day} there was a race {place}.", "There was a big race {place} on {day}."],
        ["The prize was {a_color} {thing}.", "The winner would get {a_color} {thing}."],
        ["{who} and {friend} ran as fast as they could.", "They both ran very fast."],
        ["{friend} was ahead, but {who} won the race.", "In the end, {who} won the race."],
        ["{who} shared the prize with {friend}.", "{who} let {friend} play with the {thing} too."],
        MEAL, END,
    ],
    "make": [
        ["One {weather} day, {who} wanted to make {a_color} {thing}.", "{who} had a plan: {he} wanted to build {a_color} {thing}."],
        ["But {he} had no {color} paint.", "But there was no {color} paint in the house."],
        ["{He} went to look for some {place}.", "So {he} walked and looked {place}."],
        MEET,
        ["{friend} had a pot of {color} paint and was glad to share it.", "\"I have some paint,\" said {friend}."],
        ["They worked all day, and the {thing} was ready on {day}.", "They worked together until {day}, when the {thing} was done."],
        MEAL, END,
    ],
}

# fact: (questions, answers, plots it holds for); the first word group decides the wording of the answer
QUESTIONS = {
    "who": (["Who is the story about?", "What is the name of the {kind}?", "Who was the story about?"],
            ["The story is about {who}, {a_trait} {kind}.", "The story is about {who}."], None),
    "kind": (["What was {who}?", "Was {who} a cat or something else?", "What kind of character was {who}?"],
             ["{who} was {a_kind}."], None),
    "home": (["Where did {who} live?", "Where was the home of {who}?"], ["{who} lived {home}."], None),
    "friend": (["Who was the friend of {who}?", "What was the name of the {fkind}?", "Who else was in the story?"],
               ["It was {friend} the {fkind}."], None),
    "fkind": (["What kind of animal was {friend}?", "What was {friend}?"], ["{friend} was {a_fkind}."], None),
    "food": (["What did they eat?", "What did {who} and {friend} eat?", "What food did they share?"],
             ["They ate {food}."], None),
    "feel": (["How did {who} feel at the end?", "How did {who} feel?"], ["{who} felt {feel}."], None),
    "lost": (["What did {who} lose?", "What was lost?"], ["{who} lost {his} {color} {thing}."], ("lost",)),
    "found": (["Where did they find the {thing}?", "Where was the {thing}?"], ["They found it {place2}."], ("lost",)),
    "looked": (["Where did {who} look first?"], ["{who} looked {place} first."], ("lost",)),
    "color": (["What color was the {thing}?", "Which color did the {thing} have?"], ["The {thing} was {color}."],
              ("lost", "gift", "walk", "race", "make")),
    "helper": (["Who helped {who}?"], ["{friend} the {fkind} helped {who}."], ("lost", "make")),
    "gift": (["What did {who} give to {friend}?", "What was the gift?"], ["{who} gave {friend} {a_color} {thing}."], ("gift",)),
    "bday": (["When was the birthday of {friend}?"], ["It was on {day}."], ("gift",)),
    "bought": (["Where did {who} find the gift?"], ["{who} found it {place}."], ("gift",)),
    "built": (["Where did they build the new house?"], ["They built it {place}."], ("storm",)),
    "stormday": (["When did the storm come?"], ["The storm came on {day}."], ("storm",)),
    "fhome": (["Where did {friend} live?"], ["{friend} lived {place}."], ("walk",)),
    "took": (["What did {who} take along?"], ["{who} took {a_color} {thing} along."], ("walk",)),
    "prize": (["What was the prize?", "What could they win?"], ["The prize was {a_color} {thing}."], ("race",)),
    "winner": (["Who won the race?"], ["{who} won the race."], ("race",)),
    "where": (["Where was the race?"], ["The race was {place}."], ("race",)),
    "made": (["What did {who} make?", "What did {who} want to make?"], ["{who} wanted to make {a_color} {thing}."], ("make",)),
}

# the words of the answer that must appear for it to be right
MUST = {
    "who": "{who}", "kind": "{kind}", "home": "{home}", "friend": "{friend}", "fkind": "{fkind}", "food": "{food}",
    "feel": "{feel}", "lost": "{color} {thing}", "found": "{place2}", "looked": "{place}", "color": "{color}",
    "helper": "{friend}", "gift": "{color} {thing}", "bday": "{day}", "bought": "{place}", "built": "{place}",
    "stormday": "{day}", "fhome": "{place}", "took": "{color} {thing}", "prize": "{color} {thing}", "winner": "{who}",
    "where": "{place}", "made": "{color} {thing}",
}

REQUESTS = [
    ("Tell me a story.", 2), ("Tell me a short story.", 2), ("Please tell me a story.", 1), ("Can you tell me a story?", 1),
    ("Tell me a story about {a_kind}.", 3), ("Tell me a short story about {a_kind}.", 2),
    ("Tell me a story about {a_kind} named {who}.", 5), ("Tell me a short story about {who} the {kind}.", 3),
    ("Tell me a story about {who} and {friend}.", 3), ("Write a short story about {a_kind} named {who}.", 2),
    ("Tell me a story about {who}, {a_kind}, and {friend}, {a_fkind}.", 2), ("Tell me a story with {a_color} {thing} in it.", 2),
    ("I would like to hear a story about {who}.", 2), ("Write a story about {a_trait} {kind}.", 1),
]


def story(rng):
    """Returns (facts, request, text)."""
    f = _derive(_facts(rng))
    f["His_best"] = "{} best".format(f["his"].capitalize())
    f["place_up"] = f["place"].capitalize()
    f["thing2_light"] = f["thing"] = "lantern" if f["plot"] == "storm" else f["thing"]
    parts = [OPEN] + PLOTS[f["plot"]]
    text = " ".join(rng.choice(p).format(**f) for p in parts)
    request = rng.choices([r for r, _ in REQUESTS], [n for _, n in REQUESTS])[0].format(**f)
    return f, request, text


def questions(rng, f, text, count):
    """Up to count (question, answer, must-contain) about facts that the text tells."""
    out = []
    ids = [q for q, (_, _, plots) in QUESTIONS.items() if plots is None or f["plot"] in plots]
    rng.shuffle(ids)
    for q in ids:
        must = MUST[q].format(**f)
        if len(out) < count and all(word.lower() in text.lower() for word in must.split()):
            asks, answers, _ = QUESTIONS[q]
            out.append((rng.choice(asks).format(**f), rng.choice(answers).format(**f), must))
    return out
