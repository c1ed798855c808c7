"""Segmentations by other algorithms than k-means, through whole refreshes."""

import json

import pytest
from shops import CLUSTERS, bought, new_shop, viewed

POOR = [bought(f"poor{n:02}", f"2024-03-{1 + n % 9:02} 10:00", 10 + n % 7) for n in range(40)]
RICH = [
    bought(f"rich{n:02}", f"2024-03-{1 + (n + order) % 9:02} 1{order}:00", 900 + 10 * (n % 5))
    for n in range(40)
    for order in range(6)
]
ODD = [bought(f"odd{n}", f"2023-0{n + 1}-01 10:00", 10 ** (2 * n)) for n in range(3)]
EVENTS = [*POOR, *RICH, *ODD]


def settings(algorithm):
    found = CLUSTERS.replace("k = 2", 'k = "auto"') if algorithm.endswith("dbscan") else CLUSTERS
    return found + f'algorithm = "{algorithm}"\n'


def ids_of(shop):
    return dict(shop.rows("select user_id, segment_id from segments.membership"))


@pytest.mark.parametrize("algorithm", ["gaussian_mixture", "hdbscan", "agglomerative"])
def test_users_are_placed_published_explained_and_placed_again(tmp_path, algorithm):
    shop = new_shop(tmp_path / "shop", EVENTS, settings(algorithm))
    shop.refresh()
    first, names = ids_of(shop), shop.segments_of("groups")
    poor = {first[user] for user in first if user.startswith("poor") and names[user] != "Unlike the others"}
    rich = {first[user] for user in first if user.startswith("rich") and names[user] != "Unlike the others"}
    assert poor and rich and not poor & rich
    [(text, stored)] = shop.published("select parameters, algorithm from segments.model")
    assert stored == algorithm
    assert ("mixture" if algorithm == "gaussian_mixture" else "representatives") in json.loads(text)
    ran = shop.sqlseg("segments", "explain", "rich00")
    assert ran.code == 0 and "rfm__" in ran.out
    measures = dict(shop.rows("select metric, value from segments.metric"))
    assert ("bridge_agreement" in measures) == (algorithm != "gaussian_mixture")

    shop.events(*EVENTS, viewed("rich01", "2024-03-09 23:00"))
    assert shop.refresh().plan.kind == "warm"
    assert ids_of(shop) == first
    assert shop.refresh(refit="always").plan.kind == "refit"
    again = ids_of(shop)
    assert sum(again[user] != first[user] for user in first) <= 0.05 * len(first)


def test_users_unlike_all_others_keep_their_segment_whoever_they_are(tmp_path):
    shop = new_shop(tmp_path / "shop", EVENTS, settings("hdbscan"))
    shop.refresh()
    before, names = ids_of(shop), shop.segments_of("groups")
    assert {names[f"odd{n}"] for n in range(3)} == {"Unlike the others"}
    assert shop.sqlseg("segments", "rename", before["odd0"], "Loners").code == 0

    others = [bought(f"new{n}", f"2022-0{n + 1}-01 10:00", 3.0 * 30**n) for n in range(4)]
    kept = [event for event in EVENTS if event["user_id"].startswith("rich")]
    shop.events(*kept, *others)
    shop.refresh(refit="always")
    after = ids_of(shop)
    unlike = {user for user in after if after[user] == before["odd0"]}
    assert {f"new{n}" for n in range(4)} <= unlike and len(unlike) < 20
    assert shop.segments_of("groups")["new0"] == "Loners"
