-- Days from the first purchase to the end of the newest day; NULL without a purchase.
select date_diff('day', min(case when bought then day end), max(day)) + 1 as history_days
from days_of_users
