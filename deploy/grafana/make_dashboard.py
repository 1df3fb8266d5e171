"""Writes the Grafana dashboard: make_dashboard.py > eidetic.json.

Panels stand here as (title, unit, {legend: query}); `@` in a query becomes the selector of the
dashboard's variables, `$I` the interval of its rates.
"""

import json

SELECTOR = 'job=~"$job",instance=~"$instance"'
COLUMNS, WIDTH, HEIGHT = 3, 8, 7


def quantiles(metric, by=""):
    labels = f"le,{by}" if by else "le"
    legend = " {{" + by + "}}" if by else ""
    return {
        f"{name}{legend}": f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{{@}}[$I])))"
        for name, q in (("p50", 0.5), ("p99", 0.99))
    }


def rate(metric, by=""):
    total = f"(rate({metric}{{@}}[$I]))"
    return {"{{" + by + "}}": f"sum by ({by}) {total}"} if by else {"all": f"sum {total}"}


def rate_or_zero(metric, by):
    # What never happened has no series.
    return {"{{" + by + "}}": f"{rate(metric, by)['{{' + by + '}}']} or vector(0)"}


def gauge(metric, by=""):
    return {"{{" + by + "}}": f"sum by ({by}) ({metric}{{@}})"} if by else {"all": f"sum ({metric}{{@}})"}


def budget(ratio, allowed):
    return f'1 - eidetic:{ratio}:ratio_rate3d{{job=~"$job"}} / {allowed}'


ROWS = {
    "Objectives and error budget": [
        ("Error budget left, 3 days", "percentunit", {
            "RPCs, 99.9 %": budget("rpc_errors", 0.001),
            "first tokens within 1 s, 99 %": budget("slow_first_tokens", 0.01),
            "tokens within 0.1 s, 99 %": budget("slow_tokens", 0.01),
        }),
        ("Burn rate, 1 hour", "none", {
            "RPCs": 'eidetic:rpc_errors:ratio_rate1h{job=~"$job"} / 0.001',
            "first tokens": 'eidetic:slow_first_tokens:ratio_rate1h{job=~"$job"} / 0.01',
            "tokens": 'eidetic:slow_tokens:ratio_rate1h{job=~"$job"} / 0.01',
        }),
        ("Running version", "none", {
            "{{version}} {{model}} {{backend}}":
                "sum by (version, model, backend) (eidetic_build_info{@})",
        }),
    ],
    "Traffic": [
        ("RPCs by code", "reqps", rate("eidetic_rpc_total", "code")),
        ("RPCs by method", "reqps", rate("eidetic_rpc_total", "method")),
        ("Tokens by kind", "none", rate("eidetic_tokens_total", "kind")),
    ],
    "First token": [
        ("Time to first token", "s", quantiles("eidetic_time_to_first_token_seconds")),
        ("Time to first token, by start", "s",
         quantiles("eidetic_time_to_first_token_seconds", "start")),
        ("First tokens by start", "reqps",
         rate("eidetic_time_to_first_token_seconds_count", "start")),
    ],
    "Inter-token and step": [
        ("Between tokens", "s", quantiles("eidetic_inter_token_seconds")),
        ("Step by phase", "s", quantiles("eidetic_engine_step_seconds", "phase")),
        ("Sequences in a step", "none", {
            "mean": "sum (rate(eidetic_batch_sequences_sum{@}[$I]))"
                    " / sum (rate(eidetic_batch_sequences_count{@}[$I]))",
        }),
    ],
    "Queue and admission": [
        ("Requests", "none", {
            "running": "sum (eidetic_requests_running{@})",
            "queued": "sum (eidetic_requests_queued{@})",
            "draining servers": "sum (eidetic_draining{@})",
        }),
        ("Wait for the first step", "s", quantiles("eidetic_queue_seconds")),
        ("Refused and given up", "reqps", {
            "refused: {{reason}}": "sum by (reason) (rate(eidetic_rejections_total{@}[$I]))",
            "given up: {{reason}}": "sum by (reason) (rate(eidetic_cancellations_total{@}[$I]))",
            "not authenticated":
                "sum (rate(eidetic_auth_failures_total{@}[$I])) or vector(0)",
            "slow readers cut": "sum (rate(eidetic_slow_readers_cut_total{@}[$I]))",
            "files of keys changed":
                "sum (rate(eidetic_identity_file_changes_total{@}[$I])) or vector(0)",
        }),
    ],
    "Sessions and pages by tier": [
        ("Sessions by tier", "none", {
            **gauge("eidetic_tier_sessions", "kind"),
            "asleep": "sum (eidetic_sessions_asleep{@})",
            "all": "sum (eidetic_sessions{@})",
        }),
        ("Pages and slots in use", "percentunit", {
            "{{kind}}": "sum by (kind) (eidetic_pages_used{@})"
                        " / (sum by (kind) (eidetic_pages_capacity{@}) > 0)",
            "state slots": "sum (eidetic_state_slots_used{@})"
                           " / sum (eidetic_state_slots_capacity{@})",
        }),
        ("Moved between tiers", "Bps", rate("eidetic_tier_moved_bytes_total", "kind")),
        ("Evicted and brought back", "none", {
            "pages to the host": "sum (rate(eidetic_pages_moved_to_host_total{@}[$I]))",
            "pages promoted": "sum (rate(eidetic_pages_promoted_total{@}[$I]))",
            "promoted copies dropped": "sum (rate(eidetic_pages_dropped_total{@}[$I]))",
            "sessions put to sleep: {{kind}}":
                "sum by (kind) (rate(eidetic_sessions_slept_total{@}[$I]))",
            "sessions expired": "sum (rate(eidetic_sessions_expired_total{@}[$I]))",
        }),
        ("Loading a session that slept", "s", quantiles("eidetic_session_restore_seconds")),
        ("Bytes of state checkpoints and copies", "bytes", {
            "state checkpoints": "sum (eidetic_state_checkpoint_bytes{@})",
            "promoted, in all": "sum (eidetic_promoted_bytes_total{@})",
            "promoted pages": "sum (eidetic_promoted_pages{@})",
        }),
    ],
    "Retrieval": [
        ("Choosing spans, in a step", "s", quantiles("eidetic_retrieval_seconds")),
        ("Choices proven exact", "percentunit", {
            "proven": 'sum (rate(eidetic_retrieval_choices_total{proven="true",@}[$I]))'
                      " / sum (rate(eidetic_retrieval_choices_total{@}[$I]))",
        }),
        ("Read to choose", "none", {
            "candidate blocks": "sum (rate(eidetic_retrieval_candidate_blocks_total{@}[$I]))",
            "bytes": "sum (rate(eidetic_retrieval_read_bytes_total{@}[$I]))",
            "chosen blocks: {{kind}}": "sum by (kind) (rate(eidetic_span_choices_total{@}[$I]))",
        }),
    ],
    "Durability": [
        ("Commit", "s", quantiles("eidetic_commit_seconds")),
        ("Journal", "none", {
            "syncs": "sum (rate(eidetic_journal_commits_total{@}[$I]))",
            "bytes": "sum (rate(eidetic_journal_bytes_total{@}[$I]))",
            "bytes waiting": "sum (eidetic_journal_waiting_bytes{@})",
        }),
        ("Checkpoints", "none", {
            **rate("eidetic_checkpoints_total", "kind"),
            "bytes written": "sum (rate(eidetic_checkpoint_written_bytes_total{@}[$I]))",
            "tokens computed again": "sum (rate(eidetic_recomputed_tokens_total{@}[$I]))",
        }),
        ("Disk", "bytes", {
            "free": "sum (eidetic_storage_free_bytes{@})",
            "capacity": "sum (eidetic_storage_capacity_bytes{@})",
            "checkpoints": "sum (eidetic_checkpoint_stored_bytes{@})",
        }),
        ("Damage found", "none", gauge("eidetic_integrity_errors_total", "instance")),
    ],
    "Tenants": [
        ("Answers by tenant", "reqps", rate("eidetic_tenant_generations_total", "tenant")),
        ("Tokens by tenant", "none", rate("eidetic_tenant_tokens_total", "tenant")),
        ("Failed answers by tenant", "reqps", {
            "{{tenant}} {{code}}":
                'sum by (tenant, code) (rate(eidetic_tenant_generations_total{code!="OK",@}[$I]))',
        }),
    ],
    "GPU and process": [
        ("Share of the time in steps", "percentunit", {
            "{{phase}}": "sum by (phase) (rate(eidetic_engine_step_seconds_sum{@}[$I]))",
        }),
        ("Memory and files", "bytes", {
            "resident": "sum (process_resident_memory_bytes{@})",
            "open files": "sum (process_open_fds{@})",
            "files at most": "sum (process_max_fds{@})",
        }),
        ("CPU", "none", {
            "cores": "sum (rate(process_cpu_seconds_total{@}[$I]))",
            "hours since start": "(time() - max (process_start_time_seconds{@})) / 3600",
        }),
    ],
}


def query(text):
    return text.replace("@", SELECTOR).replace("$I", "$__rate_interval")


def panel(number, place, title, unit, queries):
    source = {"type": "prometheus", "uid": "${datasource}"}
    targets = [
        {"refId": chr(ord("A") + i), "datasource": source, "expr": query(text), "legendFormat": legend}
        for i, (legend, text) in enumerate(queries.items())
    ]
    return {
        "id": number, "type": "timeseries", "title": title, "datasource": source, "gridPos": place,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": unit, "min": None}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
    }


def panels():
    number, y = 0, 0
    for row, members in ROWS.items():
        number += 1
        yield {"id": number, "type": "row", "title": row, "collapsed": False, "panels": [],
               "gridPos": {"x": 0, "y": y, "w": COLUMNS * WIDTH, "h": 1}}
        y += 1
        for i, member in enumerate(members):
            number += 1
            place = {"x": i % COLUMNS * WIDTH, "y": y + i // COLUMNS * HEIGHT,
                     "w": WIDTH, "h": HEIGHT}
            yield panel(number, place, *member)
        y += -(-len(members) // COLUMNS) * HEIGHT


def variable(name, text):
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {"name": name, "type": "query", "datasource": source, "query": text, "definition": text,
            "refresh": 2, "includeAll": True, "multi": True, "allValue": ".*",
            "current": {"text": "All", "value": "$__all"}}


def dashboard():
    return {
        "uid": "eidetic", "title": "Eidetic", "schemaVersion": 38, "version": 1, "editable": True,
        "tags": ["eidetic"], "refresh": "30s", "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [
            {"name": "datasource", "type": "datasource", "query": "prometheus"},
            variable("job", "label_values(eidetic_build_info, job)"),
            variable("instance", 'label_values(eidetic_build_info{job=~"$job"}, instance)'),
        ]},
        "panels": list(panels()),
    }


if __name__ == "__main__":
    print(json.dumps(dashboard(), indent=1))
