"""The texts that are encoded where the user gives none."""

from itertools import cycle, islice
from random import Random

SENTENCES = (
    "We rested on the bank of the river and watched the otters.",
    "She opened an account at the bank and asked for a loan.",
    "Rain is expected in the north tomorrow.",
    "The museum bought three paintings of harbours, and lent two of them to a school in Lisbon.",
    "Nobody answered.",
    "In spring the ferry to the island runs twice a day, at eight and at half past four.",
    "Her second novel, which took eleven years, sold more copies than the first in a week.",
    "Prices of copper rose by 4.5 percent after the mine had closed.",
    "Please send the invoice to accounts@example.org before Friday.",
    "The committee could not agree on a date, so the chair proposed to vote by mail.",
    "He missed the train, borrowed a bicycle, and was home before the others.",
    "Engineers found a crack in the northern pillar of the bridge, and closed it to lorries.",
    "What did the witness see when the lights went out?",
)

#: Sentences of one text after the other, and texts.
N_SENTENCES, N_TEXTS = (1, 3, 2, 2, 1, 4, 2, 3), 400


def build_texts() -> list[str]:
    """Texts of one to four sentences, always the same ones."""
    random = Random(0)
    sizes = islice(cycle(N_SENTENCES), N_TEXTS)
    return [" ".join(random.sample(SENTENCES, size)) for size in sizes]
