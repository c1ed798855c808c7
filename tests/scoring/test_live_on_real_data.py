"""The live view puts every user of every data set where the refresh put them."""

import pytest

pytestmark = pytest.mark.slow

DIFFERENT = """
select
    count(*) filter (m.segment_id is distinct from l.segment_id),
    count(*) filter (m.segment_name is distinct from l.segment_name),
    count(*) filter (m.runner_up_segment_id is distinct from l.runner_up_segment_id),
    count(*) filter (coalesce(abs(m.confidence - l.confidence), 1) > 1e-6),
    count(*) filter (coalesce(abs(m.distance - l.distance), if(m.distance is null and l.distance is null, 0, 1)) > 1e-6)
from (from segments.membership where segmentation = '{name}') as m
full join segments.{name}_live as l using (user_id)
"""


def test_the_live_view_is_the_membership(scored):
    for name in scored.fitted:
        (users,) = scored.published(f"select count(*) from segments.{name}_live")[0]
        assert users > 900
        assert scored.published(DIFFERENT.format(name=name)) == [(0, 0, 0, 0, 0)]
        assert scored.rows(DIFFERENT.format(name=name)) == [(0, 0, 0, 0, 0)]
