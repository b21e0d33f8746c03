# SPDX-License-Identifier: MIT
"""The numbers that tests/c/tensor_test.c expects of a seeded generator, from the published definitions of splitmix64,
xoshiro256** and Box-Muller, in Python's integers and doubles. Prints them."""
import math

M = (1 << 64) - 1


def splitmix(x):
    while True:
        x = (x + 0x9E3779B97F4A7C15) & M
        z = x
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M
        yield z ^ (z >> 31)


def xoshiro(state):
    def rotl(x, k):
        return ((x << k) | (x >> (64 - k))) & M
    s = list(state)
    while True:
        yield (rotl((s[1] * 5) & M, 7) * 9) & M
        t = (s[1] << 17) & M
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 45)


seeds = splitmix(1)
state = [next(seeds) for _ in range(4)]
units = ((x >> 11) * 2.0 ** -53 for x in xoshiro(state))
print("state   ", ", ".join(hex(s) for s in state))
print("uniform ", ", ".join((-2 + 8 * next(units)).hex() for _ in range(5)))
normals = []
while len(normals) < 5:
    radius, angle = math.sqrt(-2 * math.log(1 - next(units))), 2 * math.pi * next(units)
    normals += [10 + 3 * (radius * math.cos(angle)), 10 + 3 * (radius * math.sin(angle))]
print("normal  ", ", ".join(repr(x) for x in normals[:5]))
