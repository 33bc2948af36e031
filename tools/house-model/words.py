"""The small world that the corpus is written in. Narrow on purpose: a word that is seen often is learned early."""

NAMES = """Anna Ben Clara David Emma Felix Grace Henry Ida Jack Kate Leo Mia Noah Olga Paul Rosa Sam Tom Vera Will Zoe
Alice Bruno Carla Daniel Eva Frank Gina Hugo Iris Jonas Kira Lucas Maria Nina Oscar Peter Rita Simon Tara Victor Wendy
Pip Bella Coco Dot Finn Gus Hazel Juno Kip Lily Max Nora Otto Penny Rex Sunny Toby Uma Willow Ziggy""".split()

ANIMALS = "fox rabbit bear mouse owl cat dog hedgehog squirrel frog duck goat otter horse turtle pig".split()
TRAITS = "small brave shy kind clever curious quiet cheerful young gentle".split()
COLORS = "red blue green yellow white purple orange black brown pink".split()
FEELINGS = "happy proud tired calm glad thankful".split()

HOMES = [
    "in a small house near the river", "under an old oak tree", "at the edge of the forest", "in a cave on the hill",
    "beside a quiet lake", "in a little village by the sea", "in a hollow log", "behind the old mill",
    "on a farm in the valley", "in a tent in the meadow", "near a tall lighthouse", "in a garden full of roses",
]
PLACES = [
    "under the bridge", "behind the barn", "in the garden", "on the hill", "beside the well", "near the mill",
    "in the forest", "by the river", "at the market", "in the old tower", "on the beach", "in the meadow",
    "under a bench", "behind a big rock", "in the attic", "next to the pond",
]
THINGS = "kite ball lantern hat scarf boat drum bell basket key book map cup flute blanket coat ring clock".split()
FOODS = [
    "warm soup", "apple pie", "fresh bread", "honey cake", "pancakes", "roasted nuts", "berry jam", "cheese", "cookies",
    "carrot stew", "plum cake", "mushroom soup",
]
WEATHER = ["sunny", "windy", "rainy", "snowy", "foggy", "cold", "warm", "cloudy"]
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

CITIES = """Oslo Paris Rome Berlin Madrid London Tokyo Cairo Lima Delhi Vienna Prague Dublin Lisbon Athens Warsaw Boston
Chicago Toronto Sydney Nairobi Seoul Zurich Geneva Milan Porto Bergen Hamburg Munich Lyon Quito Havana Denver Dallas
Seattle Austin Helsinki Stockholm Budapest Brussels""".split()
JOBS = """teacher doctor baker farmer pilot nurse painter driver singer writer cook gardener lawyer builder tailor
fisher""".split()
PRODUCTS = """lamp chair table phone radio bike shirt bottle pencil camera clock jacket pillow mirror spoon bag guitar
watch shoe desk""".split()
EVENTS = "concert meeting party lesson picnic dinner workshop parade market race".split()
VENUES = "library park school museum theater station garden office cafe stadium".split()
LANGS = "English French German Spanish Italian Polish Greek Dutch".split()

SORT_WORDS = """apple banana cherry date egg fig grape honey ice jam kiwi lemon melon nut olive pear plum quince rice
salt tea umbrella vase water yarn zebra ant bee cat dog eagle fox goat hat ink jar key lamp moon nest owl pig queen rose
sun tree violin wolf bread cake desk fish glass house leaf milk nose paper ring stone table window""".split()

SYLLABLES = "ba be bo da do fa fi ga go ka ke ki la li lo ma mi mo na ni no pa po ra ri ro sa so ta ti to va vi za zu".split()
CODAS = ["", "", "n", "r", "s", "l", "x"]


def new_word(rng):
    """A word nobody has seen, so that copying is learned and not only the names above."""
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.choice((2, 2, 3)))) + rng.choice(CODAS)


def name(rng, but=()):
    while True:
        n = new_word(rng).capitalize() if rng.random() < 0.15 else rng.choice(NAMES)
        if n not in but:
            return n


def city(rng, but=()):
    while True:
        n = new_word(rng).capitalize() if rng.random() < 0.1 else rng.choice(CITIES)
        if n not in but:
            return n


def a(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun
