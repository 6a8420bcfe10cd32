"""The lists that prompts are filled from: objects by class, seasons, and places by province."""

from __future__ import annotations

from collections.abc import Mapping

SEASONS = ("spring", "summer", "autumn", "winter")
OBJECTS: Mapping[str, tuple[str, ...]] = {
    "everyday item": (
        "teapot", "alarm clock", "umbrella", "pencil", "toothbrush", "light bulb", "mailbox", "suitcase", "backpack",
        "candle", "paper lantern", "broom", "kettle", "thermos flask", "soap bar", "sock", "straw hat", "camera",
        "radio", "abacus", "inkstone", "fan", "yarn ball", "book", "balloon", "bell", "water bucket", "rice cooker",
        "postage stamp", "cushion",
    ),
    "furniture": (
        "armchair", "wardrobe", "bookshelf", "rocking chair", "sofa", "bedside table", "floor lamp", "stool",
        "chest of drawers", "grandfather clock", "folding screen", "dining table", "bunk bed", "bathtub", "mirror",
        "piano", "coat stand", "desk", "bean bag", "tea table", "cradle", "cabinet", "bench", "hammock", "toy chest",
    ),
    "fruit": (
        "banana", "strawberry", "pineapple", "watermelon", "lychee", "persimmon", "pear", "peach", "mango",
        "kiwi fruit", "dragon fruit", "grape bunch", "lemon", "pomegranate", "cherry", "coconut", "papaya", "plum",
        "fig", "durian", "apple", "orange", "avocado", "blueberry", "melon",
    ),
    "natural creature": (
        "panda", "rabbit", "fox", "hedgehog", "squirrel", "cactus", "sunflower", "mushroom", "bamboo shoot", "lotus",
        "snail", "frog", "owl", "penguin", "otter", "turtle", "bee", "ladybird", "pine cone", "maple leaf", "crab",
        "octopus", "carp", "crane", "red panda", "goat", "hamster", "dandelion", "acorn", "starfish",
    ),
}  # fmt: skip
PLACES: Mapping[str, tuple[str, ...]] = {
    "Sichuan": ("a bamboo forest", "a tea house in an old town", "a mountain meadow"),
    "Yunnan": ("a rice terrace", "a flower market", "a stone bridge in an old town"),
    "Guangdong": ("a night market", "a harbour promenade", "a lychee orchard"),
    "Zhejiang": ("a lakeside path", "a canal town", "a tea plantation"),
    "Jiangsu": ("a classical garden", "a courtyard with a moon gate", "a river quay"),
    "Shaanxi": ("an old city wall", "a loess plateau village", "a lantern street"),
    "Shandong": ("a beach", "an apple orchard", "a mountain stairway"),
    "Fujian": ("an earthen round house", "a fishing village", "a hillside of tea bushes"),
    "Hunan": ("a sandstone peak trail", "a stilt-house town", "a lotus pond"),
    "Hubei": ("a lakeside cherry grove", "a river gorge", "a university avenue"),
    "Heilongjiang": ("an ice-sculpture park", "a snowy village", "a birch forest"),
    "Jilin": ("a frosted river bank", "a ski slope", "a ginseng field"),
    "Liaoning": ("a seaside boardwalk", "an old railway station", "a red reed beach"),
    "Gansu": ("a desert dune", "a rainbow-coloured hill", "an oasis with poplars"),
    "Qinghai": ("a salt lake", "a rapeseed field", "a grassland with prayer flags"),
    "Anhui": ("a village of white walls", "a pine peak in the mist", "a rapeseed valley"),
    "Jiangxi": ("a porcelain workshop street", "a waterfall valley", "a terraced village"),
    "Henan": ("a peony garden", "a temple courtyard", "a wheat field"),
    "Hebei": ("a mountain wall", "a seaside town", "a summer palace garden"),
    "Shanxi": ("an ancient courtyard mansion", "a wooden pagoda square", "a vinegar workshop"),
    "Guizhou": ("a wind-and-rain bridge", "a drum tower square", "a karst waterfall"),
    "Hainan": ("a palm beach", "a coconut grove", "a rainforest boardwalk"),
}
