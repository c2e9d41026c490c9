"""English sentences from which the fixtures' tokenizers learn their pieces, and texts to encode."""

CORPUS = """\
The river rose in the night and the old bridge was gone by morning.
Nobody in the village had heard the water over the sound of the wind.
Ada Lovelace wrote the first program for a machine that was never built.
She thought the engine might one day compose music.
Her notes were longer than the paper she had translated.
A well-known baker sells bread, rolls and small round cakes on Sundays.
Don't touch the oven; it's still hot.
We'll walk to the station, because the bus isn't running.
The children's books are on the lowest shelf, where they can reach them.
He said he'd never seen so many birds in one tree.
In 1969 two people walked on the moon while a third circled above them.
The price went from 3.50 to 12.75 within a single week.
Is there another way to the harbour, or must we go back?
Take the second street on the left, then ask again!
Marie and Zoë met at a café in Málaga, near the façade of the old theatre.
The naïve répertoire of the Ångström ensemble pleased nobody.
An expert in machine learning was asked to explain neural networks to a farmer.
The farmer listened, nodded, and went to feed his horses.
Long sentences, which have many clauses, are harder to read than short ones.
Short ones are fine.
The committee (all nine members) voted against the proposal.
"Who left the window open?" she asked, looking at the wet floor.
Rain had come in during the storm and ruined the carpet.
Their boat was painted blue, white and green, like all boats on that coast.
Fishing starts before sunrise and ends when the nets are full.
Every winter the lake freezes, and people skate from shore to shore.
The scientist measured the temperature of the ice twice a day.
Her results were published ten years later, without a change.
Language changes slowly, and then all at once.
Words that were common a hundred years ago now sound strange.
The museum keeps letters, maps, coins and a two-headed wooden bird.
Visitors are asked to be quiet in the reading room.
A black cat crossed the road in front of the train station.
It did not look at anyone, and no one looked at it.
The train to Oslo leaves at seven and arrives just after noon.
Passengers without tickets pay twice the usual price.
My brother's garden has apples, pears and far too many plums.
We made jam from the plums and gave it away to our neighbours.
The mountain can be seen from every house in the valley.
On clear days you can also see the sea behind it.
Computers were once as large as a room, and slower than a watch is now.
The first ones filled their rooms with heat and noise.
An engineer's work is finished when nothing can be taken away.
That is what the old man told us, anyway.
The court heard the case in March and decided in May.
Neither side was content with the decision.
Some plants open their flowers only after dark.
Moths find them by their smell, which is strong and sweet.
The king's horse was older than the king himself.
Both were slow, stubborn and fond of apples.
Please write your name, address and date of birth in block letters.
The form must be returned within thirty days.
I would rather be outside than inside when the weather is like this.
There was music in the square, and everyone was dancing.
The teacher drew a circle on the board and asked what it was.
Nobody knew that the answer was a question.
Salt, pepper, oil and a little lemon are all this soup needs.
Let it rest for an hour before you serve it.
The astronaut 👩‍🚀 sent a picture of the Earth — blue, round and small.
Half-finished bridges, empty roads and quiet towns: that was the coast in winter.
It was the best of the stories, and the shortest one, too.
""".splitlines()

#: What each family encodes: accents and punctuation, nothing, a little, characters without a
#: piece beside emoji and line breaks, characters that normalisers rewrite, and a long text.
TEXTS = [
    "Ada Lovelace's café isn't near the  river.",
    "",
    "Hi!",
    "The 👩‍🚀 saw\n\nΩ, 東京 and a half-finished ☃ bridge\t(twice).",
    "A ﬁne naïve façade… 12.75\u00a0\u00bd",
    "The engineer's well-known horse walked to the station in Oslo, and nobody in the quiet "
    "village had heard the music; the farmer nodded.",
]
