"""Why a pipeline said what it said: labels, attention, layers, neighbours and senses of words."""

from .explain import Explanation as Explanation
from .explain import explain as explain
from .nearest_neighbours import find_neighbours as find_neighbours
from .sense_map import map_senses as map_senses
