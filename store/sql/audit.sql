-- Each statement finds what breaks one promise: `subject` is what it is about, `detail` says how.

-- name: ledger_adds_up
SELECT 'account ' || account_id AS subject,
       'entry ' || id || ' leaves ' || balance || ' seconds after a ' || kind || ' of ' || seconds
       || ' from ' || before AS detail
FROM (SELECT *, lag(balance, 1, 0) OVER (PARTITION BY account_id ORDER BY id) AS before FROM ledger)
WHERE balance < 0 OR balance <> before
      + CASE kind WHEN 'hold' THEN -seconds WHEN 'capture' THEN 0 ELSE seconds END;

-- name: ledger_is_numbered
SELECT 'account ' || account_id AS subject,
       'entry ' || id || ' is number ' || coalesce(number, 'none') || ', not ' || place AS detail
FROM (SELECT *, row_number() OVER (PARTITION BY account_id ORDER BY id) AS place FROM ledger)
WHERE number IS NOT place;

-- name: ends_have_their_hold
SELECT 'job ' || job_id AS subject, kind || ' of ' || seconds || ' seconds without its hold' AS detail
FROM ledger AS ending
WHERE kind IN ('capture', 'release')
  AND NOT EXISTS (SELECT 1 FROM ledger WHERE job_id = ending.job_id AND kind = 'hold'
                  AND account_id = ending.account_id AND seconds = ending.seconds);

-- name: refunds_have_their_capture
SELECT 'job ' || job_id AS subject, 'refund of more than was captured' AS detail
FROM ledger AS refund
WHERE kind = 'refund'
  AND NOT EXISTS (SELECT 1 FROM ledger WHERE job_id = refund.job_id AND kind = 'capture'
                  AND account_id = refund.account_id AND seconds >= refund.seconds);

-- name: holds_end_once
SELECT 'job ' || job_id AS subject, 'both captured and released' AS detail
FROM ledger WHERE kind IN ('capture', 'release') GROUP BY job_id HAVING count(*) > 1;

-- name: credits_follow_the_job
-- A job that expired after it had failed keeps its sentence; one that had completed has none.
SELECT 'job ' || held.job_id AS subject,
       'its job is ' || coalesce(j.state, 'gone') || ', its credits are '
       || coalesce(ending.kind || 'd', 'held') AS detail
FROM ledger held LEFT JOIN jobs j ON j.id = held.job_id
     LEFT JOIN ledger ending ON ending.job_id = held.job_id AND ending.kind IN ('capture', 'release')
WHERE held.kind = 'hold' AND coalesce(ending.kind, 'hold') <> CASE
    WHEN j.id IS NULL THEN coalesce(ending.kind, 'a capture or release')
    WHEN j.state = 'processing' THEN 'hold'
    WHEN j.state = 'completed' OR (j.state = 'expired' AND j.error IS NULL) THEN 'capture'
    ELSE 'release' END;

-- name: known_jobs_are_held
SELECT 'job ' || id AS subject,
       'accepted with ' || json_extract(request, '$.seconds') || ' seconds, '
       || coalesce((SELECT seconds FROM ledger WHERE job_id = jobs.id AND kind = 'hold'), 'none')
       || ' held' AS detail
FROM jobs
WHERE api = 'stemsplit' AND account_id IS NOT NULL AND json_extract(request, '$.seconds') > 0
  AND NOT coalesce(json_extract(request, '$.test'), 0)
  AND NOT EXISTS (
      SELECT 1 FROM ledger WHERE job_id = jobs.id AND kind = 'hold'
      AND seconds - json_extract(request, '$.seconds') >= 0
      AND seconds - json_extract(request, '$.seconds') < 1);

-- name: owners_pay
SELECT 'job ' || l.job_id AS subject,
       l.kind || ' of ' || l.seconds || ' seconds on another account than the job''s' AS detail
FROM ledger l JOIN jobs j ON j.id = l.job_id WHERE l.account_id IS NOT j.account_id;

-- name: completed_jobs_are_paid
SELECT 'job ' || id AS subject, 'completed, and nothing was held for it' AS detail FROM jobs
WHERE api = 'stemsplit' AND account_id IS NOT NULL
  AND (state = 'completed' OR (state = 'expired' AND error IS NULL))
  AND NOT coalesce(json_extract(request, '$.test'), 0)
  AND NOT EXISTS (SELECT 1 FROM ledger WHERE job_id = jobs.id AND kind = 'hold');

-- name: test_jobs_cost_nothing
SELECT 'job ' || l.job_id AS subject, l.kind || ' of ' || l.seconds || ' seconds' AS detail
FROM ledger l JOIN jobs j ON j.id = l.job_id WHERE json_extract(j.request, '$.test');

-- name: ended_jobs_say_when
SELECT 'job ' || id AS subject, state || ' without the time of it' AS detail FROM jobs
WHERE (state <> 'processing' AND completed_at IS NULL)
   OR (state = 'processing' AND completed_at IS NOT NULL)
   OR (state = 'expired') <> (expired_at IS NOT NULL)
   OR (state = 'failed' AND error IS NULL) OR (state = 'completed' AND error IS NOT NULL);

-- name: jobs_follow_their_stages
SELECT 'job ' || j.id AS subject, j.state || ' with stage ' || s.name || ' ' || s.state AS detail
FROM jobs j JOIN stages s ON s.job_id = j.id
WHERE (j.state = 'completed' AND s.state <> 'completed' AND NOT s.late)
   OR (j.state = 'processing' AND s.state = 'failed' AND NOT s.late)
   OR (j.state IN ('failed', 'expired') AND s.state = 'processing');

-- name: running_jobs_can_end
-- Something runs, or needs nothing more than a worker.
SELECT 'job ' || id AS subject, 'processing with nothing left to do' AS detail FROM jobs
WHERE state = 'processing' AND NOT EXISTS (
    SELECT 1 FROM stages WHERE job_id = jobs.id AND NOT late AND state IN ('pending', 'processing'))
UNION ALL
SELECT 'job ' || id, 'all that is left waits for what will not end' FROM jobs
WHERE state = 'processing' AND EXISTS (
    SELECT 1 FROM stages WHERE job_id = jobs.id AND NOT late AND state = 'pending')
  AND NOT EXISTS (
    SELECT 1 FROM stages s JOIN stage_places p ON p.job_id = s.job_id AND p.name = s.name
    WHERE s.job_id = jobs.id AND (s.state = 'processing' OR s.state = 'pending' AND p.ready));

-- name: stages_have_their_place
SELECT 'job ' || s.job_id AS subject,
       'stage ' || s.name || iif(s.due IS NULL, ' is in no queue', ' is elsewhere in the queue')
       AS detail
FROM stages s JOIN stage_places p ON p.job_id = s.job_id AND p.name = s.name
WHERE s.state = 'pending' AND (
    (s.due IS NULL) <> (p.due IS NULL) OR s.ready IS NOT p.ready
    OR (NOT s.late AND s.due <> p.due));  -- late ones of older schemas may have an hour more

-- name: lists_are_counted
SELECT 'account ' || account_id AS subject,
       list || ' (' || kind || ') from number ' || (block << shift) || ' on: ' || sum(found)
       || ', counted as ' || sum(told) AS detail
FROM (SELECT 'jobs' AS list, account_id, shift, number >> shift AS block, status AS kind,
             1 AS found, 0 AS told
      FROM jobs JOIN shifts WHERE number IS NOT NULL
      UNION ALL
      SELECT 'deliveries', account_id, shift, number >> shift, coalesce(webhook_id, ''), 1, 0
      FROM deliveries JOIN shifts WHERE number IS NOT NULL
      UNION ALL
      SELECT list, account_id, shift, block, kind, 0, rows FROM tallies)
GROUP BY list, account_id, shift, block, kind HAVING sum(found) <> sum(told);

-- name: needs_exist
SELECT 'job ' || job_id AS subject, 'stage ' || stage || ' needs ' || needs || ', which is none' AS detail
FROM stage_needs n
WHERE NOT EXISTS (SELECT 1 FROM stages WHERE job_id = n.job_id AND name = n.needs);

-- name: completed_jobs_have_tracks
SELECT 'job ' || id AS subject, 'completed without a track' AS detail FROM jobs
WHERE state = 'completed' AND NOT EXISTS (SELECT 1 FROM tracks WHERE job_id = jobs.id);

-- name: events_tell_the_truth
SELECT 'delivery ' || d.id AS subject, d.event || ' of a job that is ' || j.state AS detail
FROM deliveries d JOIN jobs j ON j.id = d.job_id
WHERE j.state = 'processing'
   OR d.event <> iif(j.error IS NULL, 'job.completed', 'job.failed');

-- name: callbacks_have_their_event
-- What was told is forgotten after a day at the earliest, the oldest first: who ended after one that
-- is still known must be known, too.
SELECT 'job ' || id AS subject, 'ended, and its callback was not put into the outbox' AS detail
FROM jobs
WHERE state <> 'processing' AND callback_url IS NOT NULL AND completed_at > min(
    :now - 86400,
    coalesce((SELECT min(created_at) FROM deliveries WHERE state <> 'waiting'), :now))
  AND NOT EXISTS (SELECT 1 FROM deliveries WHERE job_id = jobs.id AND webhook_id IS NULL);

-- name: waiting_deliveries_will_go
SELECT 'delivery ' || d.id AS subject,
       iif(d.next_at > :now + 86400, 'waits for a day to come',
           iif(d.lane = '', 'waits in no lane', 'waits for a disabled webhook')) AS detail
FROM deliveries d LEFT JOIN webhooks w ON w.id = d.webhook_id
WHERE d.state = 'waiting' AND (
    d.next_at > :now + 86400 OR d.lane = ''
    OR (w.id IS NOT NULL AND NOT w.is_active AND NOT d.by_hand));

-- name: select_kept_tracks
-- Whose files must be there. A failed StemSplit job has nothing to download.
SELECT t.job_id, t.path, t.size, t.crc, j.state FROM tracks t JOIN jobs j ON j.id = t.job_id
WHERE j.state = 'completed' OR (j.state = 'failed' AND j.api = 'pipeline')
ORDER BY t.job_id, t.path;

-- name: select_kept_inputs
-- Jobs whose source must be there: accepted, and not still to be fetched. Its URL goes as soon as it
-- has been, while it may still wait to be measured.
SELECT id FROM jobs WHERE state = 'processing' AND json_extract(request, '$.source_url') IS NULL;

-- name: select_kept_uploads
-- The oldest that were used make room for new ones, while their URLs still hold.
SELECT key, size, sha256 FROM uploads WHERE size IS NOT NULL AND NOT gone AND expires_at > :expired;

-- name: select_upload_keys
SELECT key FROM uploads;

-- name: select_live_jobs
SELECT id FROM jobs WHERE state IN ('processing', 'completed') OR (state = 'failed' AND api = 'pipeline');

-- name: select_unfinished_jobs
SELECT id FROM jobs WHERE state = 'processing'
UNION
SELECT s.job_id FROM stages s JOIN jobs j ON j.id = s.job_id
WHERE s.late AND s.state IN ('pending', 'processing') AND j.state = 'completed';
