-- Statements of reviews of who has which rights, by name (see queries.sql).

-- name: role_operator
-- The name of the operator we are, by our certificate.
SELECT ledger.operator_here(false) AS name

-- name: role_operators
-- Who may propose and approve.
SELECT name, since FROM ledger.operators WHERE removed_at IS NULL ORDER BY since, name

-- name: role_rules
-- How long the only operator waits, and when proposals lapse.
SELECT extract(epoch FROM alone_waits)::bigint AS alone_waits_seconds,
       extract(epoch FROM lapses_after)::bigint AS lapses_after_seconds
FROM ledger.role_rules()

-- name: role_proposals
-- Proposals, oldest first: of one number or (null) all, of one subject or (null) all.
SELECT p.number, p.id, p.subject, p.action, p.what, p.why, p.effects, p.reversible_until,
       p.proposed_by, p.proposed_at, p.lapses_at,
       CASE WHEN p.state = 'waiting' AND now() >= least(p.lapses_at, p.reversible_until)
            THEN 'lapsed' ELSE p.state END AS state,
       p.decided_by, p.decided_at, p.decided_why, p.reverted_by, p.reverted_at, p.reverted_why,
       p.state = 'in_effect' AND p.reversible_until >= now() IS TRUE AS revertible,
       ledger.alone_from(p.proposed_at) AS alone_from
FROM ledger.role_proposals AS p
WHERE (%(number)s::bigint IS NULL OR p.number = %(number)s)
  AND (%(subject)s::text IS NULL OR p.subject = %(subject)s)
ORDER BY p.number

-- name: role_waiting
-- How many proposals wait, and for how long the oldest has.
SELECT waiting, oldest_seconds FROM ledger.role_reviews_waiting()

-- name: role_propose
-- Propose to give a right, or take one at once; its number.
SELECT ledger.role_propose(%(id)s, %(subject)s, %(action)s, %(what)s, %(why)s, %(effects)s,
                           %(reversible_for)s, %(body)s) AS number

-- name: role_decide
-- Approve, reject or revert a proposal.
SELECT ledger.role_decide(%(number)s, %(decision)s, %(why)s, %(body)s)
