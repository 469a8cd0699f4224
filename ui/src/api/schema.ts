// Made by `npm run types` from the schemas of /openapi.json; do not edit by hand.

export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description RFC 9457. */
        Problem: {
            type: string;
            title: string;
            status: number;
            /** @description What is wrong and what to do. */
            detail: string;
            /** @description Of the closed vocabulary of errors. */
            code: string;
            /** @description The part of the request that is at fault. */
            field?: string;
        };
        Tokens: {
            input: number;
            cached: number;
            cache_write: number;
            output: number;
            reasoning: number;
            images: number;
        };
        /** @description Milliseconds; within 1/32 of their value. */
        Percentiles: {
            p50: number;
            p95: number;
            p99: number;
        };
        /** @description What calls add up to. */
        Stat: {
            calls: number;
            /** @description Status failed or unknown. */
            failed: number;
            cancelled: number;
            /** @description Answered without a provider. */
            cache_hits: number;
            attempts: number;
            attempts_failed: number;
            /** @description Tokens. */
            input: number;
            cached: number;
            cache_write: number;
            output: number;
            reasoning: number;
            images: number;
            /** @description What providers charge. */
            incurred_usd: string;
            /** @description Of it, for the answers that were used. */
            billed_usd: string;
            /** @description What cache hits would have cost. */
            saved_usd: string;
            /** @description What the other answers would have cost more at the dearest of the targets their calls could have gone to. */
            routing_saved_usd: string;
            latency_ms: components["schemas"]["Percentiles"] | null;
            first_token_ms: components["schemas"]["Percentiles"] | null;
        };
        NamedStat: {
            name: string;
            total: components["schemas"]["Stat"];
        };
        ErrorCount: {
            error: string;
            calls: number;
        };
        SessionRequest: {
            /** @description An API key. */
            key: string;
        };
        SessionKey: {
            id: string;
            name: string;
            /** @description Commas between: call, usage, read, work, approve, admin. */
            scopes: string;
        };
        /** @description Who is signed in. */
        Session: {
            key: components["schemas"]["SessionKey"];
            /** @description To send as x-ballast-csrf with all but GET and HEAD; absent where a header's key asks. */
            csrf?: string;
            /**
             * Format: date-time
             * @description When the session ends if nothing is done; null of a header's key that never expires.
             */
            expires: string | null;
            version: string;
            /** @description false: who has no key is let in as well, where calls are concerned. */
            require_key: boolean;
        };
        SeriesGroup: {
            name: string;
            /** @description All groups beyond the limit, together. */
            rest: boolean;
            total: components["schemas"]["Stat"];
            /** @description One per start. */
            buckets: components["schemas"]["Stat"][];
        };
        Series: {
            /** Format: date-time */
            from: string;
            /** Format: date-time */
            to: string;
            step_seconds: number;
            /** @description key, team, user, feature, route, operation, provider, model, status, error or cache. */
            by: string | null;
            /** @description Of percentiles. */
            relative_error: number;
            starts: string[];
            total: components["schemas"]["Stat"];
            /** @description Largest first. */
            groups: components["schemas"]["SeriesGroup"][];
            errors: components["schemas"]["ErrorCount"][];
        };
        /** @description Of all nodes. */
        QueueFigures: {
            name: string;
            ready: number;
            running: number;
            waiting: number;
            delayed: number;
            oldest_ready_seconds: number;
            paused: boolean;
        };
        Overview: {
            /** Format: date-time */
            from: string;
            /** Format: date-time */
            to: string;
            step_seconds: number;
            starts: string[];
            total: components["schemas"]["Stat"];
            before: components["schemas"]["Stat"] | null;
            buckets: components["schemas"]["Stat"][];
            errors: components["schemas"]["ErrorCount"][];
            /** @description The five with the most calls. */
            models: components["schemas"]["NamedStat"][];
            in_flight: number;
            budgets: components["schemas"]["Budget"][];
            breakers: {
                open: number;
                half_open: number;
                closed: number;
            };
            queues: components["schemas"]["QueueFigures"][];
            /** @description Dead letters; of the newest 10000. */
            dead: number;
            /** @description Pending, that this key may decide; 1000 at most. */
            approvals: number;
            /** @description Firing. */
            alerts: components["schemas"]["Alert"][];
        };
        CallRow: {
            id: string;
            /** Format: date-time */
            arrived: string;
            key: {
                id: string;
                name: string;
            };
            team: string;
            user: string;
            feature: string;
            route: string;
            requested_model: string;
            operation: string;
            api: string;
            provider: string;
            model: string;
            /** @description provider/model, or what else answered. */
            served_by: string;
            status: components["schemas"]["CallStatus"];
            /** @description Empty: none. */
            error: string;
            http_status: number;
            cache: components["schemas"]["CacheState"];
            tokens: components["schemas"]["Tokens"];
            incurred_usd: string;
            billed_usd: string;
            latency_ms: number;
            first_token_ms: number | null;
            attempts: number;
        };
        /**
         * @description unknown: the process died before the outcome; charged at its hold.
         * @enum {string}
         */
        CallStatus: "ok" | "failed" | "cancelled" | "unknown";
        /** @enum {string} */
        CacheState: "none" | "miss" | "hit" | "semantic_hit" | "stale" | "bypass" | "joined" | "replay";
        /** @description view=row. */
        CallRows: {
            calls: components["schemas"]["CallRow"][];
            /** @description For `before`: there may be more. */
            next?: string;
            /**
             * Format: date-time
             * @description How far back was looked.
             */
            searched_to: string;
        };
        Attempt: {
            id: string;
            n: number;
            provider: string;
            model: string;
            credential: string;
            /** Format: date-time */
            started: string;
            latency_us: number;
            /** @description 0: none came. */
            first_token_us: number;
            outcome: string;
            http_status: number;
            tokens: components["schemas"]["Tokens"];
            incurred_usd: string;
            hedged: boolean;
            cut: boolean;
            /** @enum {string} */
            cost: "known" | "unknown" | "reconciled";
            was_usd?: string;
            reconciled_by?: string;
            /** Format: date-time */
            reconciled_at?: string;
        };
        /** @description What one step decided, with the figures it went by. */
        DecisionStep: {
            /** @description Since the call arrived. */
            at_us: number;
            step: string;
        } & {
            [key: string]: unknown;
        };
        /** @description A call with all that is on record of it. */
        Call: {
            id: string;
            /** Format: date-time */
            arrived: string;
            status: components["schemas"]["CallStatus"];
            error: string;
            http_status: number;
            key_id: string;
            key_name: string;
            team: string;
            user: string;
            feature: string;
            route: string;
            requested_model: string;
            operation: string;
            api: string;
            served_by: string;
            provider: string;
            model: string;
            trace_id: string;
            cache: components["schemas"]["CacheState"];
            tokens: components["schemas"]["Tokens"];
            incurred_usd: string;
            billed_usd: string;
            /** @description Answered from the cache: what the answer cost when it was made. Absent where nothing was saved so. */
            saved_usd?: string;
            /** @description What the answer would have cost more at the dearest of the targets the call could have gone to; the step routing_saved names it. Absent where that is nothing, or not known. */
            routing_saved_usd?: string;
            latency_us: number;
            first_token_us: number;
            attempts: components["schemas"]["Attempt"][];
            /** @description Of each budget's window, what this call took. */
            charges: {
                [key: string]: string;
            };
            /** @description What was said of it, newest first; absent where nothing was. */
            feedback?: components["schemas"]["Feedback"][];
            decision: components["schemas"]["DecisionStep"][];
        };
        /** @description Without view. */
        Calls: {
            calls: components["schemas"]["Call"][];
            next?: string;
        };
        /** @description What was said, where a route records it. */
        Messages: {
            /** @enum {string} */
            recorded: "full" | "sampled";
            /** Format: date-time */
            at: string;
            redacted: boolean;
            /** @description As the caller sent it. */
            request: unknown;
            reply: unknown;
            truncated: boolean;
        };
        /** @description With a member for each thing grouped by. */
        UsageRow: {
            calls: number;
            failed: number;
            cache_hits: number;
            input_tokens?: number | string;
            cached_tokens?: number | string;
            cache_write_tokens?: number | string;
            output_tokens?: number | string;
            reasoning_tokens?: number | string;
            images?: number | string;
            incurred_usd: string;
            billed_usd: string;
            latency_us?: number | string;
        } & {
            [key: string]: string;
        };
        Usage: {
            rows: components["schemas"]["UsageRow"][];
            next_offset?: number;
        };
        Budget: {
            window: string;
            /** @description Its name in the configuration. */
            budget: string;
            scope: string;
            /** @description Whose it is: a key's, user's, team's … */
            value: string;
            limit_usd: string;
            spent_usd: string;
            held_usd: string;
            remaining_usd: string;
            /** Format: date-time */
            window_end: string;
        };
        Budgets: {
            budgets: components["schemas"]["Budget"][];
            distrusted_models: {
                model: string;
                factor: number;
                times: number;
                over_usd: string;
            }[];
        };
        /** @description As a budget, with what it comes to at the rate it is spent. */
        BudgetForecast: {
            window: string;
            /** @description Its name in the configuration. */
            budget: string;
            scope: string;
            /** @description Whose it is: a key's, user's, team's … */
            value: string;
            limit_usd: string;
            spent_usd: string;
            held_usd: string;
            remaining_usd: string;
            /** Format: date-time */
            window_end: string;
            /** @description At the window's end. */
            forecast_usd: string;
            /**
             * Format: date-time
             * @description When the limit is reached, if before the window's end.
             */
            forecast_at_limit: string | null;
        };
        MoneyDay: {
            /**
             * Format: date
             * @description UTC.
             */
            day: string;
            total: components["schemas"]["Stat"];
        };
        Money: {
            /** Format: date-time */
            from: string;
            /** Format: date-time */
            to: string;
            total: components["schemas"]["Stat"];
            before: components["schemas"]["Stat"];
            days: components["schemas"]["MoneyDay"][];
            /** @description The largest of each that was asked for. */
            by: {
                model?: components["schemas"]["NamedStat"][];
                key?: components["schemas"]["NamedStat"][];
                user?: components["schemas"]["NamedStat"][];
                feature?: components["schemas"]["NamedStat"][];
                team?: components["schemas"]["NamedStat"][];
                route?: components["schemas"]["NamedStat"][];
                flow?: components["schemas"]["NamedStat"][];
            };
            saved: {
                cache_usd: string;
                routing_usd: string;
            };
            budgets: components["schemas"]["BudgetForecast"][];
        };
        Alert: {
            id: string;
            rule: string;
            kind: string;
            /** @enum {string} */
            severity: "page" | "ticket" | "info";
            /** @enum {string} */
            state: "pending" | "firing" | "silenced" | "resolved";
            title: string;
            detail: string;
            labels: {
                [key: string]: string;
            };
            value: number | null;
            threshold: number | null;
            unit: string;
            /** Format: date-time */
            since: string;
            /** Format: date-time */
            updated: string;
            /** Format: date-time */
            resolved_at: string | null;
            evidence: {
                [key: string]: unknown;
            };
        };
        AlertRule: {
            name: string;
            kind: string;
            /** @enum {string} */
            severity: "page" | "ticket" | "info";
        } & {
            [key: string]: unknown;
        };
        Silence: {
            id: string;
            rule?: string;
            labels?: {
                [key: string]: string;
            };
            /** Format: date-time */
            until: string;
            note: string;
            by: string;
            /** Format: date-time */
            created: string;
        };
        SilenceRequest: {
            rule?: string;
            labels?: {
                [key: string]: string;
            };
            note: string;
            /** @description 30m, 2h, 1d. */
            for: string;
        };
        Alerts: {
            alerts: components["schemas"]["Alert"][];
            rules: components["schemas"]["AlertRule"][];
            silences: components["schemas"]["Silence"][];
            /** @description Alarms a day that the default rules raised over real traffic without faults, as measured before this release (docs/alerts.md). */
            false_alarm_rate: number | null;
            next?: string;
        };
        ReadinessLine: {
            id: string;
            group: string;
            question: string;
            /** @enum {string} */
            state: "passed" | "failed" | "unproven" | "not_applicable";
            evidence: string;
            todo: string;
            see: string;
            /** @description A person may tell it: POST /api/readiness/evidence takes this line. */
            told: boolean;
        };
        Readiness: {
            passed: number;
            failed: number;
            unproven: number;
            not_applicable: number;
            /**
             * Format: date-time
             * @description How far back the calls were looked at.
             */
            looked_back_to?: string;
            lines: components["schemas"]["ReadinessLine"][];
        };
        EvidenceRequest: {
            /** @description One that a person may tell: load_test, evals, … */
            line: string;
            /** @description A day or a time; now if absent. */
            at?: string;
            note?: string;
        };
        Evidence: {
            line: string;
            /** Format: date-time */
            at: string;
            note: string;
        };
        AuditEntry: {
            chain: string;
            seq: number;
            /** Format: date-time */
            at: string;
            actor: string;
            action: string;
            subject: string;
            /** @description SHA-256 of what was asked, where something was. */
            arguments: string | null;
            /** @description JSON, or text. */
            outcome: unknown;
        };
        Audit: {
            /** @description Of administrative acts; a run's has its job's id for a name. */
            chains: string[];
            /** @description Newest first. */
            entries: components["schemas"]["AuditEntry"][];
            next?: string;
        };
        ConfigProvider: {
            name: string;
            kind: string;
            base_url: string;
            /** @description How many. */
            keys: number;
            models: string[];
            /** @description The variable that brought it in. */
            fromenvironment?: string;
            /** @description What answered on this machine. */
            found_here?: string;
        };
        ConfigRoute: {
            name: string;
            targets: {
                /** @description provider/model */
                target: string;
                weight: number;
            }[];
        } & {
            [key: string]: unknown;
        };
        /** @description The configuration in force; never a secret. */
        Config: {
            /** @description null: none was read. */
            file: string | null;
            listen: string;
            /** @enum {string} */
            database: "sqlite" | "postgres";
            tls: boolean;
            require_key: boolean;
            providers: components["schemas"]["ConfigProvider"][];
            routes: components["schemas"]["ConfigRoute"][];
            aliases: {
                [key: string]: string;
            };
            limits: ({
                name: string;
                scope: string;
            } & {
                [key: string]: unknown;
            })[];
            budgets: ({
                name: string;
                scope: string;
                limit_usd: string;
            } & {
                [key: string]: unknown;
            })[];
            /** @description In the file. */
            keys: number;
            classifiers: string[];
            alerts: {
                [key: string]: unknown;
            };
            telemetry: {
                [key: string]: unknown;
            };
            /** @description Of each kind, for how long; null: for ever. */
            retention: {
                [key: string]: string | null;
            };
            recording: {
                [key: string]: unknown;
            };
        };
        /** @description Of a call or of a job. */
        FeedbackRequest: {
            call?: string;
            job?: string;
            /** @enum {string} */
            verdict: "good" | "bad";
            score?: number;
            comment?: string;
            user?: string;
        };
        FeedbackMade: {
            id: string;
            /** @description It took the place of the user's verdict before. */
            replaced: boolean;
        };
        FeedbackRow: {
            group: string;
            good: number;
            bad: number;
            score: number | null;
            /** @description good of good and bad. */
            satisfaction: number | null;
            /** @description With satisfaction_high: Wilson's interval at 95 %. */
            satisfaction_low: number;
            satisfaction_high: number;
            /** @description Calls and jobs. */
            judged: number;
            /** @description Those with more good verdicts than bad. */
            successful: number;
            incurred_usd: string;
            usd_per_good: string | null;
        };
        Feedback: {
            id: string;
            call?: string;
            job?: string;
            /** @enum {string} */
            verdict: "good" | "bad";
            score: number | null;
            comment: string;
            /** @description Who judged. */
            user: string;
            key_id: string;
            /** Format: date-time */
            at: string;
        };
        FeedbackList: {
            rows: components["schemas"]["FeedbackRow"][];
            recent: components["schemas"]["Feedback"][];
            /** @description There: not all verdicts of the range are counted. */
            cut?: string;
        };
        /** @enum {string} */
        BreakerState: "closed" | "open" | "half_open";
        Breaker: {
            provider: string;
            model: string;
            state: components["schemas"]["BreakerState"];
            consecutive_failures: number;
            successes: number;
            failures: number;
            /** @description How often. */
            opened: number;
            early_tries: number;
            last_error: string;
            retry_in_s: number | null;
            latency_s: number | null;
            first_token_s: number | null;
        };
        Breakers: {
            breakers: components["schemas"]["Breaker"][];
        };
        Credential: {
            name: string;
            dead: boolean;
            reason: string;
            available_in_s: number | null;
            in_flight: number;
            picked: number;
            limited: number;
        };
        Provider: {
            name: string;
            kind: string;
            base_url: string;
            credentials: components["schemas"]["Credential"][];
        };
        Providers: {
            providers: components["schemas"]["Provider"][];
        };
        Node: {
            /** @description Its own, kept in its data folder. */
            name: string;
            /** @description Its number in ids. */
            slot: number;
            /**
             * @description silent: it does not beat any more and is about to be said to be gone.
             * @enum {string}
             */
            state: "joining" | "serving" | "draining" | "silent" | "gone";
            version: string;
            /** @description Where it listens. */
            address: string;
            /** Format: date-time */
            since: string;
            /** @description Since its last beat, by the database's clock. */
            beat_age_s: number;
            /** @description What it says of itself with each beat; of a node of another version, what that says. */
            load: {
                /** @description On the road now. */
                calls?: number;
                jobs?: {
                    leased?: number;
                    ready?: number;
                    live?: number;
                };
                /** @description Resident. */
                memory_bytes?: number;
                database?: {
                    /** @description Its writes that wait. */
                    queued?: number;
                    reconnects?: number;
                };
            };
            /** @description What it does for all of them. */
            duties: string[];
        };
        Nodes: {
            /** @description The name of the node that answers. */
            self: string;
            installation: string;
            /** @description How old this picture is: above a second or two the database is away, or slow. */
            read_age_s: number;
            nodes: components["schemas"]["Node"][];
        };
        Key: {
            id: string;
            name: string;
            /** @description Of its secret, to recognise it by. */
            prefix: string;
            scopes: string;
            /** @description What it may name; empty: all. */
            models?: string[];
            team: string;
            user: string;
            feature: string;
            /** Format: date-time */
            created?: string;
            /** Format: date-time */
            expires?: string | null;
            /** Format: date-time */
            revoked?: string | null;
            /** Format: date-time */
            old_secret_until?: string | null;
            /** Format: date-time */
            last_used: string | null;
            /** @description It stands in the configuration, and is changed there. */
            configured?: boolean;
        };
        Keys: {
            keys: components["schemas"]["Key"][];
        };
        /** @description With its secret, this once. */
        KeyWithSecret: {
            id: string;
            name: string;
            /** @description Of its secret, to recognise it by. */
            prefix: string;
            scopes: string;
            /** @description What it may name; empty: all. */
            models?: string[];
            team: string;
            user: string;
            feature: string;
            /** Format: date-time */
            created?: string;
            /** Format: date-time */
            expires?: string | null;
            /** Format: date-time */
            revoked?: string | null;
            /** Format: date-time */
            old_secret_until?: string | null;
            /** Format: date-time */
            last_used: string | null;
            /** @description It stands in the configuration, and is changed there. */
            configured?: boolean;
            secret: string;
        };
        /** @description What is not named stays. */
        KeyChange: {
            name?: string;
            scopes?: string[];
            models?: string[];
            team?: string;
            user?: string;
            feature?: string;
            /** Format: date-time */
            expires?: string | null;
        };
        KeyRevoked: {
            id: string;
            revoked: boolean;
        };
        ErrorTold: {
            code: string;
            message: string;
            field?: string;
        } & {
            [key: string]: unknown;
        };
        /** @enum {string} */
        JobState: "queued" | "running" | "waiting" | "done" | "dead" | "cancelled";
        /** @description task, flow or operation is its name, by its kind. */
        Job: {
            id: string;
            /** @enum {string} */
            kind: "task" | "call" | "flow";
            task?: string;
            flow?: string;
            operation?: string;
            state: components["schemas"]["JobState"];
            queue: string;
            tenant: string;
            priority: number;
            attempt: number;
            /** @description At most. */
            attempts: number;
            /** Format: date-time */
            created: string;
            /** Format: date-time */
            due?: string;
            /** Format: date-time */
            finished?: string;
            /** Format: date-time */
            deadline?: string;
            /** @description Of its flow. */
            version?: string;
            model?: string;
            user?: string;
            feature?: string;
            /** @description A URL, or {url, secret}. */
            webhook?: unknown;
            tags?: string[];
            concurrency?: {
                key: string;
                limit: number;
            };
            /** @description Where it comes from, if it was not submitted. */
            origin?: string;
            urgency?: string;
            batch?: string;
            parent?: string;
            generation?: number;
            /** @description Of the trace that its spans belong to. */
            trace_id?: string;
            error?: components["schemas"]["ErrorTold"];
            payload?: unknown;
            input?: unknown;
            output?: unknown;
        };
        Jobs: {
            jobs: components["schemas"]["Job"][];
            next?: string;
        };
        JobAttempts: {
            id: string;
            attempts: {
                attempt: number;
                /** Format: date-time */
                at: string;
                error: components["schemas"]["ErrorTold"];
                worker?: string;
            }[];
        };
        JobCancelled: {
            id: string;
            /** @enum {string} */
            state: "cancelled";
        };
        StageRecord: {
            stage: string;
            /** @description started, done, skipped, failed, compensated … */
            what: string;
            attempt: number;
            /** Format: date-time */
            at: string;
            output?: unknown;
            waits_for?: unknown;
            confidence?: number;
            fallback?: boolean;
            taint?: {
                stage: string;
                kind: string;
            }[];
            cost_usd?: string;
            error?: components["schemas"]["ErrorTold"];
        };
        RunStages: {
            id: string;
            flow: string;
            version: string;
            state: components["schemas"]["JobState"];
            /** @description As they happened. */
            records: components["schemas"]["StageRecord"][];
        };
        Effect: {
            stage: string;
            attempt: number;
            kind: string;
            /** @enum {string} */
            state: "intended" | "dispatched" | "confirmed" | "failed" | "unknown" | "compensated";
            target: string;
            /** @description SHA-256. */
            arguments: string;
            /** @description SHA-256. */
            input: string;
            idempotency_key?: string;
            /** Format: date-time */
            intended?: string;
            /** Format: date-time */
            dispatched?: string;
            /** Format: date-time */
            settled?: string;
            /** Format: date-time */
            undone?: string;
            outcome?: unknown;
        };
        Effects: {
            id: string;
            effects: components["schemas"]["Effect"][];
            unknown: number;
        };
        ForkRequest: {
            /** @description It and what depends on it run anew. */
            stage?: string;
            input?: unknown;
            version?: string;
        };
        RunMade: {
            id: string;
            fork_of?: string;
            rollback_of?: string;
            redrive_of?: string;
            /** @description It was made before. */
            existing: boolean;
            url?: string;
            results_kept?: number;
        };
        RedriveRequest: {
            input?: unknown;
            payload?: unknown;
            attempts?: number;
            queue?: string;
            delay?: string;
            /** Format: date-time */
            deadline?: string;
            version?: string;
        };
        RedriveManyRequest: {
            queue?: string;
            name?: string;
            code?: string;
            text?: string;
            /** @description 10/s. */
            rate?: string;
            limit?: number;
        };
        RedrivenMany: {
            redriven: number;
            already: number;
        };
        DeadGroup: {
            queue: string;
            name: string;
            code: string;
            jobs: number;
            /** Format: date-time */
            newest: string;
            /** Format: date-time */
            oldest: string;
            /** @description A job's id. */
            example: string;
            error: components["schemas"]["ErrorTold"];
        };
        DeadGroups: {
            groups: components["schemas"]["DeadGroup"][];
            jobs: number;
            /** @description There are more than were looked at. */
            more: boolean;
        };
        FlowSummary: {
            flow: string;
            version: string;
            digest: string;
            stages: number;
        };
        Flows: {
            flows: components["schemas"]["FlowSummary"][];
        };
        FlowStage: {
            stage: string;
            kind: string;
            after: string[];
            /** @description Of an effect. */
            risk?: string;
        };
        Flow: {
            flow: string;
            version: string;
            digest: string;
            stages: components["schemas"]["FlowStage"][];
            /** @description Its schema. */
            input?: unknown;
            /** @description Its text. */
            source: string;
        };
        /** @enum {string} */
        ApprovalState: "pending" | "approved" | "edited" | "rejected" | "expired" | "withdrawn";
        Approval: {
            id: string;
            job: string;
            stage: string;
            flow: string;
            state: components["schemas"]["ApprovalState"];
            /** @description Of what is shown: a decision names it. */
            digest: string;
            /** @description Why it asks. */
            policy: string;
            assignees: string[];
            /** Format: date-time */
            asked: string;
            /** Format: date-time */
            expires: string;
            submitted_by: {
                key: string;
                user: string;
            };
            signature?: boolean;
            escalates?: {
                [key: string]: unknown;
            };
            /** Format: date-time */
            decided?: string;
            by?: string;
            note?: string;
            used?: boolean;
            definition?: string;
            may_be_decided_by_submitter?: boolean;
            /** @description What an edit may change. */
            edit?: {
                paths: string[];
                schema: unknown;
            };
            /** @description Exactly what will happen. */
            shown?: unknown;
            /** @description What it was edited to. */
            value?: unknown;
            value_digest?: string;
        };
        Approvals: {
            approvals: components["schemas"]["Approval"][];
            next?: string;
        };
        ApprovalDecision: {
            digest: string;
            note?: string;
        };
        ApprovalEdit: {
            digest: string;
            note?: string;
            /** @description Whole. */
            value: unknown;
        };
        Rates: {
            "1m": number;
            "5m": number;
        };
        /** @description Of the node that answers. */
        QueueCounts: {
            ready: number;
            delayed: number;
            blocked: number;
            running: number;
            waiting: number;
            oldest_ready_s: number;
        };
        /** @description Of all nodes, but for `here`. */
        Queue: {
            queue: string;
            paused: boolean;
            /** @description On each node; 0: no limit. */
            concurrency: number;
            /** @description On each node; 0: no limit. */
            per_tenant: number;
            ready: number;
            delayed: number;
            blocked: number;
            running: number;
            waiting: number;
            oldest_ready_s: number;
            here: components["schemas"]["QueueCounts"];
            arrivals_per_s?: components["schemas"]["Rates"];
            ends_per_s?: components["schemas"]["Rates"];
            per_job_s?: number | null;
            drain_s?: number;
            /** @description Workers, to be through in drain_s. */
            wanted?: number;
        };
        Queues: {
            queues: components["schemas"]["Queue"][];
            /** @description Whose figures are in it: this node's as they are, the others' as they said in their last beat, a second ago at most. */
            nodes: number;
            /** @description Queues of other nodes that are not in it: each says its 64 largest. */
            left_out: number;
        };
        /** @description What is not named stays. */
        QueueChange: {
            paused?: boolean;
            concurrency?: number;
            per_tenant?: number;
        };
        Schedule: {
            name: string;
            cron: string;
            timezone: string;
            /** @description In words. */
            when: string;
            enabled: boolean;
            /** @enum {string} */
            overlap: "skip" | "allow";
            /** @enum {string} */
            catch_up: "one" | "none";
            owner: string;
            /** @description As POST /api/jobs. */
            job: unknown;
            next: string[];
            /** Format: date-time */
            last?: string;
            last_job?: string;
            /** @description It made none. */
            why?: string;
        };
        Schedules: {
            schedules: components["schemas"]["Schedule"][];
        };
        ScheduleRequest: {
            cron: string;
            timezone?: string;
            job: {
                [key: string]: unknown;
            };
            enabled?: boolean;
            /** @enum {string} */
            overlap?: "skip" | "allow";
            /** @enum {string} */
            catch_up?: "one" | "none";
        };
        Webhook: {
            id: string;
            type: string;
            /** @enum {string} */
            state: "pending" | "delivered" | "dead";
            url: string;
            attempts: number;
            /** Format: date-time */
            created: string;
            job?: string;
            /** @description Its name. */
            secret?: string;
            /** Format: date-time */
            due?: string;
            /** Format: date-time */
            finished?: string;
            /** @description Of the last answer. */
            status?: number;
            why?: string;
            payload?: unknown;
        };
        Webhooks: {
            webhooks: components["schemas"]["Webhook"][];
            next?: string;
        };
        /** @description OpenAI's shape. */
        Batch: {
            id: string;
            /** @enum {string} */
            object: "batch";
            endpoint: string;
            status: string;
            input_file_id: string;
            output_file_id?: string | null;
            error_file_id?: string | null;
            completion_window?: string;
            /** @description Seconds since 1970. */
            created_at: number | null;
            request_counts: {
                total: number;
                completed: number;
                failed: number;
            };
            errors?: unknown;
            usage?: unknown;
            metadata?: unknown;
        } & {
            [key: string]: unknown;
        };
        Batches: {
            /** @enum {string} */
            object: "list";
            data: components["schemas"]["Batch"][];
            has_more: boolean;
            first_id: string | null;
            last_id: string | null;
        };
        Model: {
            id: string;
            /** @enum {string} */
            object: "model";
            display_name?: string;
            owned_by: string;
            leads_to?: string;
        } & {
            [key: string]: unknown;
        };
        Models: {
            /** @enum {string} */
            object: "list";
            served_by: string;
            data: components["schemas"]["Model"][];
            has_more: boolean;
            first_id: string | null;
            last_id: string | null;
        };
        UnknownCharge: {
            call: string;
            attempt: number;
            provider: string;
            model: string;
            charged_usd: string;
            /** Format: date-time */
            started: string;
            outcome: string;
            call_status: components["schemas"]["CallStatus"];
            key: string;
            user: string;
            windows: string[];
        };
        UnknownCharges: {
            unknown: components["schemas"]["UnknownCharge"][];
            next?: string;
        };
        /** @description Event hello. */
        LiveHello: {
            version: string;
            /** Format: date-time */
            at: string;
        };
        /** @description Event figures, each second. */
        LiveFigures: {
            /** Format: date-time */
            at: string;
            in_flight: number;
            calls_per_second: number;
            failed_per_second: number;
            usd_per_minute: number;
            tokens_per_second: number;
            first_token_ms_p95: number | null;
            latency_ms_p95: number | null;
        };
        /** @description Event skipped: calls that were not told. */
        LiveSkipped: {
            calls: number;
        };
        /** @description Event state: look again. */
        LiveState: {
            /** @enum {string} */
            what: "breakers" | "queues" | "approvals" | "dead";
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
