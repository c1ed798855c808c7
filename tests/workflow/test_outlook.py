"""What waiting does to a user, against the views computed for all users on each of the days."""

from datetime import timedelta

import numpy as np
import pytest

from sqlseg.features.binding import Source, every_user_sql
from sqlseg.segments.blocks import Block
from sqlseg.segments.model import ClusterModel
from sqlseg.workflow.as_of import local
from sqlseg.workflow.inputs import read_blocks, read_users
from sqlseg.workflow.one_user import explain_user
from sqlseg.workflow.outlook import segments_ahead
from sqlseg.workflow.project import open_project
from sqlseg.workflow.warehouse import open_warehouse

DAYS = 80


@pytest.fixture(scope="module")
def shop(busy_shop, tmp_path_factory):
    return busy_shop.copy(tmp_path_factory.mktemp("outlook") / "shop")


def blocks_then(project, warehouse, blocks, moment, zone):
    then = []
    for block in blocks:
        if block.kind != "features":
            then.append(block)
            continue
        view = project.registry.view("features", block.name)
        columns = ", ".join(f'"{column.partition("__")[2]}"::double as "{column}"' for column in block.columns)
        text = every_user_sql(view, moment, local(moment, zone), Source())
        table = warehouse.table(f"select {columns} from ({text}) order by user_id")
        values = np.column_stack([table[column].to_numpy().astype(float) for column in block.columns])
        then.append(Block(block.name, block.kind, block.columns, values))
    return then


@pytest.fixture
def opened(shop):
    project = open_project(shop.directory)
    with open_warehouse(project) as warehouse:
        yield project, warehouse


@pytest.mark.slow
def test_every_change_is_found_on_its_day(opened):
    project, warehouse = opened
    segmentation = project.settings.segmentations["groups"]
    text, as_of = warehouse.row(
        "select m.parameters, g.as_of from segments.model as m join segments.segmentation as g "
        "using (segmentation, model_version) where m.segmentation = 'groups'"
    )
    model = ClusterModel.from_json(text)
    users = read_users(warehouse)
    blocks = read_blocks(warehouse, project, segmentation)
    zone = project.settings.project.timezone
    labels = [model.score(blocks).labels]
    there = local(as_of, zone)
    for day in range(1, DAYS + 1):
        moved = there + timedelta(days=day)
        moment = as_of + (moved - there) - (local(as_of + timedelta(days=day), zone) - moved)
        labels.append(model.score(blocks_then(project, warehouse, blocks, moment, zone)).labels)
    labels = np.array(labels)
    some_moved = 0
    moving = (labels[1:] != labels[:-1]).any(axis=0)
    for user in sorted({*range(0, len(users), 10), *np.flatnonzero(moving)[:10].tolist()}):
        mine = [block.take(np.array([user])) for block in blocks]
        found = segments_ahead(warehouse, project, model, mine, users[user], as_of, days=DAYS)
        days = [day for day in range(1, DAYS + 1) if labels[day, user] != labels[day - 1, user]]
        told = [(day, labels[day, user]) for day in days]
        assert [(one.days, one.segment) for one in found] == told
        assert all(one.date == (there + timedelta(days=one.days)).date() for one in found)
        some_moved += bool(told)
    assert some_moved


def test_the_command_tells_it(shop):
    project, user = open_project(shop.directory), "u0000001"
    with open_warehouse(project) as warehouse:
        places = explain_user(project, warehouse, user)
    place = next(one for one in places if one.membership["segmentation"] == "groups")
    told = shop.sqlseg("segments", "explain", user).out
    assert "If nothing happens: " in told
    for move in place.moves:
        if move.days is not None:
            assert f"after {move.days} day" in told
            assert str(move.date) in told
