TRUNCATE neuronx.tenant_events, neuronx.dead_letters, neuronx.dead_letter_decisions, neuronx.dead_letter_requests, neuronx.schemas, neuronx.progress, neuronx.partition_progress,
	neuronx.outbox, neuronx.outbox_numbers, neuronx.outbox_forbidden, neuronx.skips, neuronx.rule_bundles, neuronx.rule_state, neuronx.rule_health, neuronx.crm_connections, neuronx.effects, neuronx.effect_attempts,
	projection.active, projection.tenants, projection.api_keys, projection.leads;
SELECT neuronx.ensure_tenant('acme'), neuronx.ensure_tenant('beta');
INSERT INTO neuronx.tenant_events (tenant_id, sequence, position, event_id, event_type, subject, source, recorded_at, correlation_id, causation_id, schema_id, log_id, log_partition, log_offset, hash, payload, data)
SELECT t, n, n, t || n, typ, CASE WHEN typ LIKE 'lead.%' THEN 'lead/1' WHEN typ = 'engine.projection.skipped' THEN 'projection/neuronx.rules' WHEN typ = 'rules.published' THEN 'rules/' || t ELSE 'tenant/' || t END, '/t', now(), '', '', 1, 'log', 0, n,
	sha256(convert_to(t || n, 'UTF8')), convert_to(t || n, 'UTF8'), data::jsonb FROM (VALUES
	('acme', 1, 'tenant.created', '{"name":"Acme"}'),
	('acme', 2, 'tenant.key_issued', '{"key_id":"k1","secret_sha256":"aa","scopes":["events:write"],"label":null,"expires_at":null}'),
	('acme', 3, 'rules.published', '{"version":1,"hash":"h1","semantics":1,"files":[{"name":"a.yaml","text":"x"}],"by":null}'),
	('acme', 4, 'tenant.crm_connected', '{"adapter":"gohighlevel","location":"loc","token":"secret://a@1","mode":"record","base_url":null}'),
	('acme', 5, 'lead.created', '{"lead_id":"1"}'),
	('acme', 6, 'engine.dead_letter.dropped', '{"topic":"neuronx.ingress","partition":0,"offset":7}'),
	('beta', 1, 'tenant.created', '{"name":"Beta"}'),
	('beta', 2, 'tenant.key_issued', '{"key_id":"k2","secret_sha256":"bb","scopes":["events:write"],"label":null,"expires_at":null}'),
	('beta', 3, 'tenant.key_revoked', '{"key_id":"k2","reason":null}'),
	('beta', 4, 'tenant.suspended', '{"reason":null}'),
	('beta', 5, 'tenant.key_issued', '{"key_id":"k4","secret_sha256":"dd","scopes":["events:write"],"label":null,"expires_at":"2027-03-01T02:03:04.000005Z"}'),
	('beta', 6, 'engine.projection.skipped', '{"projection":"neuronx.rules","generation":1,"skipped_sequence":5,"event_id":"beta5","reason":"x","by":null}')) v(t, n, typ, data);
INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, event_id, log_id, state)
	SELECT c, 1, t, 0, n, t || n, 'log', 'live' FROM (VALUES ('neuronx.archiver'), ('neuronx.projector'), ('neuronx.projector.control'), ('neuronx.rules'), ('neuronx.gohighlevel')) c(c), (VALUES ('acme', 6), ('beta', 6)) t(t, n);
UPDATE neuronx.progress SET state = 'stalled', reason = 'x' WHERE consumer IN ('neuronx.archiver', 'neuronx.gohighlevel') AND tenant_id = 'beta';
INSERT INTO neuronx.skips (consumer, tenant_id, sequence, skipped_at) VALUES ('neuronx.rules', 'beta', 5, now() - interval '1 hour');
INSERT INTO neuronx.partition_progress SELECT c, 1, 'neuronx.events', 0, '00000000-0000-4000-8000-000000000000', 'log', 10 FROM (VALUES ('neuronx.archiver'), ('neuronx.projector'), ('neuronx.rules'), ('neuronx.gohighlevel')) c(c);
INSERT INTO projection.active SELECT (jsonb_populate_record(NULL::projection.active, jsonb_build_object('tenant_id', t, 'generation', 1, 'swapped_at', now(), 'feed', 'control'))).* FROM (VALUES ('acme'), ('beta')) v(t);
INSERT INTO projection.tenants (tenant_id, generation, id, name, status, sequence) VALUES ('acme', 1, 'acme', 'Acme', 'active', 1), ('beta', 1, 'beta', 'Beta', 'suspended', 4);
INSERT INTO projection.api_keys (tenant_id, generation, key_id, secret_sha256, scopes, revoked_at, expires_at, sequence) VALUES ('acme', 1, 'k1', 'aa', '{events:write}', NULL, NULL, 2),
	('beta', 1, 'k2', 'bb', '{events:write}', now(), NULL, 3), ('beta', 1, 'k4', 'dd', '{events:write}', NULL, '2027-03-01 02:03:04.000005+00', 5);
INSERT INTO neuronx.rule_bundles (tenant_id, sequence, event_id, version, hash, semantics, files, published_at) VALUES ('acme', 3, 'acme3', 1, 'h1', 1, '[{"Name":"a.yaml","Text":"x"}]', now());
INSERT INTO neuronx.crm_connections (tenant_id, adapter, location, token, mode, sequence) VALUES ('acme', 'gohighlevel', 'loc', 'secret://a@1', 'record', 4);
INSERT INTO neuronx.schemas (fingerprint, schema_id, schema) VALUES (sha256('x'), 1, '"string"');
INSERT INTO neuronx.dead_letters (topic, partition, "offset", tenant_id, reason, detail, event_id, event_type, source, subject, deriver, deriver_number, recorded_at, letter_partition, letter_offset, headers, hash)
	VALUES ('neuronx.ingress', 0, 7, 'acme', 'invalid_body', '', 'bad', 'lead.created', '/t', '', '', 0, now(), 0, 0, '', sha256('x'));
INSERT INTO neuronx.dead_letter_decisions (tenant_id, sequence, kind, topic, partition, "offset", decided_at) VALUES ('acme', 6, 'dropped', 'neuronx.ingress', 0, 7, now());
