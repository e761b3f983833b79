"""What `check` says of routes and of what carriers cost: ways that lead nowhere, and prices that do not add up."""

from __future__ import annotations

from collections.abc import Iterator

from mail2sms import routing
from mail2sms.config.fields import did_you_mean
from mail2sms.config.schema import CHEAPEST, RouteOption, Settings
from mail2sms.prices import price
from mail2sms.yamltext import Document, Fault, Steps


def routes(settings: Settings, document: Document) -> Iterator[Fault]:
    """Every route leads somewhere: to carriers that are there, in one of the ways to choose among them."""
    if not settings.routes:
        message, hint = "no routes: nothing could be sent", "[{to: any, via: [...]}]"
        yield Fault(message=message, place=document.key_place(("routes",)), hint=hint, steps=("routes",))
    for i, route in enumerate(settings.routes):
        if sum(map(bool, (route.via, route.share, route.refuse))) != 1:
            yield _error(document, ("routes", i), 'a route has either "via", "share" or "refuse"')
        if route.share and not any(route.share.values()):
            yield _error(document, ("routes", i, "share"), "nothing would go by any of them")
        for steps, name in _named(route):
            if name == CHEAPEST:
                message = f'"{CHEAPEST}" is all carriers, by price: it stands alone'
                yield _error(document, ("routes", i, *steps), message, f"via: {CHEAPEST}")
            elif name not in settings.carriers:
                hint = did_you_mean(name, [*settings.carriers, CHEAPEST])
                yield _error(document, ("routes", i, *steps), f'there is no carrier "{name}"', hint)
    if CHEAPEST in settings.carriers:
        steps, message = (
            ("carriers", CHEAPEST),
            f'in routes, "{CHEAPEST}" means whichever has the lowest price',
        )
        yield Fault(message=message, place=document.key_place(steps), hint="choose another name", steps=steps)


def _named(route: RouteOption) -> Iterator[tuple[Steps, str]]:
    yield from ((("share", name), name) for name in route.share)
    if route.via != (CHEAPEST,):
        yield from ((("via", j), name) for j, name in enumerate(route.via))


def currencies(settings: Settings, document: Document) -> Iterator[Fault]:
    """All prices are of one currency."""
    given = [
        (("carriers", name, "price", region), own.currency)
        for name, carrier in settings.carriers.items()
        for region, own in carrier.price.items()
    ]
    given += [
        (("carriers", name, "mms_price", region), own.currency)
        for name, carrier in settings.carriers.items()
        for region, own in carrier.mms_price.items()
    ]
    for steps, currency in given:
        first, other = given[0]
        if currency != other:
            place = f"{'.'.join(first)} on line {document.place(first).line}"
            message = f"{currency} here and {other} in {place}: such costs do not add up"
            yield _error(document, steps, message, f"write all prices in {other}")


def prices(settings: Settings, document: Document) -> Iterator[Fault]:
    """A carrier that has prices has one for each country that a route leads to by it; of the cheapest one has."""
    table, ways = settings.price_table(), settings.route_table()
    lacking: dict[str, dict[str, None]] = {}
    for country in settings.countries:
        for way in routing.all_for(country, ways):
            lacks = [name for name in way.via if price(name, country, table) is None]
            if way.is_cheapest and len(lacks) == len(way.via):
                message = f"no carrier has a price for {country}: none is the cheapest"
                steps = ("routes", ways.index(way), "via")
                yield _error(document, steps, message, "add price: to the carriers")
            for name in () if way.is_cheapest else filter(table.get, lacks):
                lacking.setdefault(name, {})[country] = None
    for name, countries in lacking.items():
        message = f"no price for {', '.join(countries)}: what is sent there has no known cost"
        yield Fault(
            message=message,
            place=document.place(("carriers", name, "price")),
            hint="any: prices all other countries",
            steps=("carriers", name, "price"),
            is_warning=True,
        )


def _error(document: Document, steps: Steps, message: str, hint: str = "") -> Fault:
    return Fault(message=message, place=document.place(steps), hint=hint, steps=steps)
