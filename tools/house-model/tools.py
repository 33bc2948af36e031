"""Tools, the questions that only a tool can answer, and what to say when it has.

Each family has several spellings of its name and parameters, so that the model must read the list it was given.
"""
import json

import words as w


def _degrees(rng):
    return rng.randrange(-9, 36)


def _hour(rng):
    return "{}:{:02d}".format(rng.randrange(24), rng.randrange(60))


def _phone(rng):
    return "".join(str(rng.randrange(10)) for _ in range(6))


def _title(rng):
    return "The {} {}".format(rng.choice(w.COLORS).capitalize(), rng.choice(w.THINGS).capitalize())


SKY = ["sunny", "cloudy", "rainy", "windy", "foggy", "snowy"]

def _text(rng):
    return rng.choice(("see you on {day}", "I am in the {venue}", "come to the {venue}", "the {thing} is ready", "I found the {thing}")).format(
        day=rng.choice(w.DAYS), venue=rng.choice(w.VENUES), thing=rng.choice(w.THINGS))


# Arguments are drawn by name; a parameter is (its spellings, type, the argument it takes).
FAMILIES = [
    dict(names=["get_weather", "weather", "weather_now", "get_forecast"], about=["Gives the weather in a city", "Looks up the weather now"],
         params=[(["city", "place", "location"], "string", "city")], draw=dict(city=w.city),
         asks=["What is the weather in {city}?", "How is the weather in {city}?", "Is it raining in {city}?", "How warm is it in {city}?",
               "What is the weather like in {city} today?", "Tell me the weather in {city}."],
         reply=lambda rng: dict(sky=rng.choice(SKY), degrees=_degrees(rng)),
         answers=["It is {sky} in {city}, with {degrees} degrees."]),
    dict(names=["get_time", "local_time", "clock", "time_in"], about=["Gives the time in a city", "Tells what time it is in a city"],
         params=[(["city", "place", "zone"], "string", "city")], draw=dict(city=w.city),
         asks=["What time is it in {city}?", "Tell me the time in {city}.", "Do you know what time it is in {city}?",
               "How late is it in {city} now?"],
         reply=lambda rng: dict(time=_hour(rng)), answers=["It is {time} in {city}."]),
    dict(names=["get_price", "price_of", "product_price", "check_price"], about=["Gives the price of a product", "Looks up a price in the shop"],
         params=[(["product", "item", "name"], "string", "product")], draw=dict(product=lambda rng: rng.choice(w.PRODUCTS)),
         asks=["How much is the {product}?", "What does the {product} cost?", "What is the price of the {product}?",
               "Tell me the price of the {product}."],
         reply=lambda rng: dict(price=rng.randrange(2, 400)), answers=["The {product} costs {price} dollars."]),
    dict(names=["get_phone", "phone_number", "find_phone", "phone_book"], about=["Finds the phone number of a person", "Looks up a phone number"],
         params=[(["name", "person", "who"], "string", "name")], draw=dict(name=w.name),
         asks=["What is the phone number of {name}?", "How can I call {name}?", "Find the phone number of {name}.",
               "I need the number of {name}."],
         reply=lambda rng: dict(phone=_phone(rng)), answers=["The phone number of {name} is {phone}."]),
    dict(names=["get_email", "find_email", "email_of"], about=["Finds the email address of a person", "Looks up an email address"],
         params=[(["name", "person", "user"], "string", "name")], draw=dict(name=w.name),
         asks=["What is the email address of {name}?", "Find the email of {name}.", "I need the email address of {name}."],
         reply=lambda rng: dict(email="{}@{}.com".format(w.new_word(rng), rng.choice(("mail", "post", "home")))),
         answers=["The email address of {name} is {email}."]),
    dict(names=["get_distance", "distance", "how_far"], about=["Gives the distance between two cities", "Measures how far two cities are apart"],
         params=[(["from", "start", "origin"], "string", "a"), (["to", "end", "target"], "string", "b")], draw=dict(a=w.city, b=w.city),
         asks=["How far is it from {a} to {b}?", "What is the distance from {a} to {b}?", "How many kilometers is it from {a} to {b}?"],
         reply=lambda rng: dict(km=rng.randrange(20, 1000)), answers=["It is {km} kilometers from {a} to {b}."]),
    dict(names=["find_train", "next_train", "train_times"], about=["Finds the next train between two cities", "Looks up trains"],
         params=[(["from", "start", "origin"], "string", "a"), (["to", "end", "target"], "string", "b")], draw=dict(a=w.city, b=w.city),
         asks=["When is the next train from {a} to {b}?", "When does the train from {a} to {b} leave?", "Find a train from {a} to {b}."],
         reply=lambda rng: dict(leaves=_hour(rng), track=rng.randrange(1, 20)),
         answers=["The next train from {a} to {b} leaves at {leaves} from track {track}."]),
    dict(names=["set_timer", "start_timer", "timer"], about=["Starts a timer", "Sets a timer for some minutes"],
         params=[(["minutes", "length", "duration"], "integer", "minutes")], draw=dict(minutes=lambda rng: rng.randrange(2, 100)),
         asks=["Set a timer for {minutes} minutes.", "Start a timer of {minutes} minutes.", "Please wake me in {minutes} minutes.",
               "Remind me in {minutes} minutes."],
         reply=lambda rng: dict(status="ok"), answers=["The timer is set for {minutes} minutes."]),
    dict(names=["send_message", "send_text", "message"], about=["Sends a message to a person", "Sends a short text to somebody"],
         params=[(["to", "name", "person"], "string", "name"), (["text", "message", "content"], "string", "text")],
         draw=dict(name=w.name, text=_text),
         asks=["Send a message to {name}: {text}", "Write to {name}: {text}", "Tell {name} this: {text}"],
         reply=lambda rng: dict(status="sent"), answers=["I sent the message to {name}."]),
    dict(names=["find_book", "search_book", "library_search"], about=["Finds a book in the library", "Tells where a book stands"],
         params=[(["title", "book", "query"], "string", "title")], draw=dict(title=_title),
         asks=["Where can I find the book {title}?", "Do you have the book {title}?", "Find the book {title}."],
         reply=lambda rng: dict(shelf=rng.randrange(1, 90)), answers=["The book {title} is on shelf {shelf}."]),
    dict(names=["get_population", "population", "count_people"], about=["Gives the number of people in a city", "Tells how many people live in a city"],
         params=[(["city", "place", "town"], "string", "city")], draw=dict(city=w.city),
         asks=["How many people live in {city}?", "What is the population of {city}?", "How big is the city {city}?"],
         reply=lambda rng: dict(people=rng.randrange(1000, 1000000)), answers=["{people} people live in {city}."]),
    dict(names=["translate", "translate_word", "dictionary"], about=["Translates a word", "Gives a word in another language"],
         params=[(["word", "text"], "string", "word"), (["language", "to", "target"], "string", "lang")],
         draw=dict(word=lambda rng: rng.choice(w.SORT_WORDS), lang=lambda rng: rng.choice(w.LANGS)),
         asks=["What is the word {word} in {lang}?", "Translate {word} to {lang}.", "How do you say {word} in {lang}?"],
         reply=lambda rng: dict(result=w.new_word(rng)), answers=["The word {word} is {result} in {lang}."]),
    dict(names=["get_score", "game_score", "match_result"], about=["Gives the score of a team", "Looks up the last game of a team"],
         params=[(["team", "club", "name"], "string", "city")], draw=dict(city=w.city),
         asks=["What was the score of {city}?", "How did the team of {city} play?", "Did {city} win the game?"],
         reply=lambda rng: dict(score="{}:{}".format(rng.randrange(7), rng.randrange(7))), answers=["The last game of {city} ended {score}."]),
    dict(names=["order_status", "get_order", "track_order"], about=["Tells where an order is", "Looks up an order by its number"],
         params=[(["order", "number", "id"], "integer", "order")], draw=dict(order=lambda rng: rng.randrange(100, 10000)),
         asks=["Where is my order {order}?", "What is the status of order {order}?", "When will order {order} come?"],
         reply=lambda rng: dict(status=rng.choice(("packed", "sent", "lost", "ready")), day=rng.choice(w.DAYS)),
         answers=["Order {order} is {status}. It will come on {day}."]),
]


def _spec(rng, family):
    """One spelling of a family as an OpenAI tool; returns (tool, {argument: parameter name})."""
    names = {arg: rng.choice(spellings) for spellings, _, arg in family["params"]}
    if len(set(names.values())) < len(names):
        return _spec(rng, family)
    properties = {names[arg]: {"type": kind} for _, kind, arg in family["params"]}
    function = {"name": rng.choice(family["names"]), "description": rng.choice(family["about"]),
                "parameters": {"type": "object", "properties": properties, "required": list(properties)}}
    return {"type": "function", "function": function}, names


def tool_list(rng):
    """Two tools of different families; returns (tools, [(family, names)])."""
    families = rng.sample(FAMILIES, 2)
    specs = [_spec(rng, f) for f in families]
    return [s[0] for s in specs], [(f, s[1]) for f, s in zip(families, specs)]


def task(rng, tools, families):
    """A question for one of the tools; returns (question, tool name, arguments, reply text, answer, words in the answer)."""
    which = rng.randrange(len(tools))
    family, names = families[which]
    args = {}
    for key, draw in family["draw"].items():
        args[key] = draw(rng)
        while list(args.values()).count(args[key]) > 1:
            args[key] = draw(rng)
    reply = family["reply"](rng)
    answer = rng.choice(family["answers"]).format(**args, **reply)
    must = [str(v) for v in reply.values() if str(v) in answer] or [answer]
    return (rng.choice(family["asks"]).format(**args), tools[which]["function"]["name"], {names[k]: v for k, v in args.items()},
            json.dumps(reply), answer, must)
