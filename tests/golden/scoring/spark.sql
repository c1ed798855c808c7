WITH coordinates AS (
  SELECT
    f1.user_id,
    FLOOR(
      GREATEST(
        LEAST(
          (
            GREATEST(
              LEAST(COALESCE(CASE WHEN f1.a THEN 1e0 WHEN NOT f1.a THEN 0e0 END, 0.5e0), 9e0),
              -9e0
            ) + 0e0
          ) / 1e0,
          3e0
        ),
        -3e0
      ) * 1e0 * 1000000e0 + 0.5e0
    ) AS x1,
    FLOOR(
      GREATEST(
        LEAST(
          (
            LN(1e0 + GREATEST(LEAST(COALESCE(CAST(f1.b AS DOUBLE), 2e0), 9e0), 0e0)) - 1.25e0
          ) / 0.5e0,
          3e0
        ),
        -3e0
      ) * 1e0 * 1000000e0 + 0.5e0
    ) AS x2
  FROM features.rfm_v1 AS f1
), norms AS (
  SELECT
    *,
    x1 * x1 + x2 * x2 AS square
  FROM coordinates
), squares AS (
  SELECT
    user_id,
    square + 1062500000000e0 + 2000000e0 * x1 - 500000e0 * x2 AS square1,
    square + 2250000000000e0 - 3000000e0 * x1 + 0e0 * x2 AS square2,
    square + 4000000000000e0 + 0e0 * x1 + 4000000e0 * x2 AS square3
  FROM norms
), least_squares AS (
  SELECT
    *,
    LEAST(square1, square2, square3) AS least_square
  FROM squares
), nearest AS (
  SELECT
    *,
    CASE least_square
      WHEN square1
      THEN 'groups-1'
      WHEN square2
      THEN 'groups-2'
      WHEN square3
      THEN 'groups-3'
    END AS segment_id
  FROM least_squares
), next_squares AS (
  SELECT
    *,
    LEAST(
      CASE WHEN segment_id = 'groups-1' THEN 1e+300 ELSE square1 END,
      CASE WHEN segment_id = 'groups-2' THEN 1e+300 ELSE square2 END,
      CASE WHEN segment_id = 'groups-3' THEN 1e+300 ELSE square3 END
    ) AS next_square
  FROM nearest
), placed AS (
  SELECT
    user_id,
    segment_id,
    SQRT(least_square) / 1000000e0 AS distance,
    COALESCE(next_square / NULLIF(least_square + next_square, 0e0), 0.5e0) AS confidence,
    CASE
      WHEN next_square = square1 AND segment_id <> 'groups-1'
      THEN 'groups-1'
      WHEN next_square = square2 AND segment_id <> 'groups-2'
      THEN 'groups-2'
      WHEN next_square = square3 AND segment_id <> 'groups-3'
      THEN 'groups-3'
    END AS runner_up_segment_id
  FROM next_squares
)
SELECT
  placed.user_id,
  'groups' AS segmentation,
  placed.segment_id,
  CASE placed.segment_id
    WHEN 'groups-1'
    THEN 'One\'s'
    WHEN 'groups-2'
    THEN 'Two'
    WHEN 'groups-3'
    THEN 'Three \\'
  END AS segment_name,
  placed.distance,
  placed.confidence,
  placed.runner_up_segment_id
FROM placed;
