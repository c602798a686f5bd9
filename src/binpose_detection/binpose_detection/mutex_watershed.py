"""Regions of a graph whose edges attract or repel: the mutex watershed (Wolf et al., ECCV 2018)."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

LEVELS = 65535


def mutex_watershed(
    nodes: int,
    one: npt.NDArray[np.integer[Any]],
    other: npt.NDArray[np.integer[Any]],
    strength: npt.NDArray[np.floating[Any]],
    repels: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int64]:
    """Regions of nodes, without any threshold or number of regions.

    Edges are taken by descending strength. One that attracts joins two regions, unless something stronger has said that
    they are apart; one that repels says so, unless they have been joined.

    Args:
        nodes: how many there are.
        one: (E,) a node of each edge.
        other: (E,) its other node.
        strength: (E,) in [0, 1]; compared in steps of 1 / 65535, in the edges' order where equal.
        repels: (E,) whether the edge keeps its nodes apart.

    Returns:
        (nodes,) region of each node, numbered from 0 without gaps.
    """
    level = (np.clip(strength, 0.0, 1.0) * LEVELS).astype(np.uint16)
    order = np.argsort(LEVELS - level, kind="stable")  # 16 bits are sorted by radix
    roots = _joined(nodes, one[order].astype(np.int32), other[order].astype(np.int32), repels[order])
    return np.unique(roots, return_inverse=True)[1].reshape(-1)


@njit(cache=True, nogil=True)
def _root(parent: npt.NDArray[np.int32], node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@njit(cache=True, nogil=True)
def _joined(
    nodes: int, one: npt.NDArray[np.int32], other: npt.NDArray[np.int32], repels: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int32]:
    """The root of each node in a union-find forest; each root has a linked list of the nodes that it is apart from."""
    parent = np.arange(nodes).astype(np.int32)
    first, last, apart = np.full(nodes, -1, np.int32), np.full(nodes, -1, np.int32), np.zeros(nodes, np.int32)
    following = np.full(2 * len(one), -1, np.int32)
    node_of = np.empty(2 * len(one), np.int32)
    used = 0
    for edge in range(len(one)):
        a, b = _root(parent, one[edge]), _root(parent, other[edge])
        if a == b:
            continue
        if apart[a] > apart[b]:
            a, b = b, a
        excluded, entry = False, first[a]
        while entry >= 0:
            if _root(parent, node_of[entry]) == b:
                excluded = True
                break
            entry = following[entry]
        if excluded:
            continue
        if repels[edge]:
            for root, far in ((a, b), (b, a)):
                node_of[used], following[used] = far, first[root]
                if first[root] < 0:
                    last[root] = used
                first[root] = used
                apart[root] += 1
                used += 1
        else:
            parent[a] = b  # the one with the shorter list
            if first[a] >= 0:
                following[last[a]] = first[b]
                if first[b] < 0:
                    last[b] = last[a]
                first[b] = first[a]
                apart[b] += apart[a]
    for node in range(nodes):
        parent[node] = _root(parent, node)
    return parent
