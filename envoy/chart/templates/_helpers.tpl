{{- define "llm-picker.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: llm-picker
{{- end }}

{{- define "llm-picker.scraperLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: scraper
{{- end }}

{{- define "llm-picker.testLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end }}

{{- define "llm-picker.scraperName" -}}
{{ printf "%s-scraper" (.Release.Name | trunc 50 | trimSuffix "-") }}
{{- end }}

{{- define "llm-picker.scraperNamespace" -}}
{{ .Values.scraper.namespace | default .Release.Namespace }}
{{- end }}

{{- define "llm-picker.scraperHost" -}}
{{ include "llm-picker.scraperName" . }}.{{ include "llm-picker.scraperNamespace" . }}.svc.cluster.local
{{- end }}

{{- /* "oci://repository@digest", "oci://repository:tag", or the URL that takes their place. */ -}}
{{- define "llm-picker.url" -}}
{{- with .Values.picker.image -}}
{{- if .fromScraper -}}http://{{ include "llm-picker.scraperHost" $ }}:9091/plugin.wasm
{{- else if .url -}}{{ .url }}
{{- else -}}oci://{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "llm-picker.scraperImage" -}}
{{- with .Values.scraper.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end -}}
{{- end }}

{{- /* Shared data belongs to a vm_id, and a WasmPlugin's is always empty. */ -}}
{{- define "llm-picker.vmId" -}}
{{ if eq .Values.picker.way "envoyFilter" }}llm-picker{{ end }}
{{- end }}

{{- define "llm-picker.pull" -}}
{{ if eq .Values.snapshots "pull" }}true{{ end }}
{{- end }}

{{- /* What no schema can say of values that have to fit together. */ -}}
{{- define "llm-picker.check" -}}
{{- $p := .Values.picker -}}
{{- $istio := .Values.gateway.istio -}}
{{- if semverCompare "<1.28-0" $istio -}}
  {{- if eq $p.way "envoyFilter" -}}
    {{- fail (printf "picker.way: found envoyFilter with gateway.istio %s; allowed: from Istio 1.28 on. An older istiod drops allow_on_headers_stop_iteration in silence, and every request with a body hangs" $istio) -}}
  {{- end -}}
  {{- if not (include "llm-picker.pull" .) -}}
    {{- fail (printf "snapshots: found push with gateway.istio %s; allowed: pull, or Istio 1.28 and newer. The listener for pushes needs allow_on_headers_stop_iteration, which an older istiod drops in silence" $istio) -}}
  {{- end -}}
{{- end -}}
{{- if and (semverCompare "<1.27-0" $istio) (eq $p.failStrategy "FAIL_RELOAD") -}}
  {{- fail (printf "picker.failStrategy: found FAIL_RELOAD with gateway.istio %s; allowed: FAIL_CLOSE or FAIL_OPEN before Istio 1.27" $istio) -}}
{{- end -}}
{{- if and $p.image.fromScraper $p.image.url -}}
  {{- fail "picker.image: found url and fromScraper; allowed: one of the two" -}}
{{- end -}}
{{- if and $p.image.fromScraper (not $p.image.sha256) -}}
  {{- fail "picker.image.sha256: missing; with fromScraper it is needed, or a gateway would keep an old plugin: sha256sum dist/llm-picker.wasm" -}}
{{- end -}}
{{- range $number, $model := .Values.models -}}
  {{- $pool := .inferencePool | default dict -}}
  {{- $at := printf "models[%d]" $number -}}
  {{- if .unpicked -}}
    {{- include "llm-picker.checkUnpicked" (dict "at" $at "model" . "routeHeaders" $p.routeHeaders) -}}
  {{- else if and (ne (.kind | default "pods") "llmInferenceService") (not .podLabels) (not $pool.name) -}}
    {{- fail (printf "%s.podLabels: missing; needed for %s, whose kind is pods, unless inferencePool.name says which pods" $at .name) -}}
  {{- end -}}
  {{- if eq (.backend | default "service") "inferencePool" -}}
    {{- if and (not $pool.name) (ne (.kind | default "pods") "llmInferenceService") -}}
      {{- fail (printf "%s.inferencePool.name: missing; with backend inferencePool it names the pool that the HTTPRoute names" $at) -}}
    {{- end -}}
    {{- if .servicePort -}}
      {{- fail (printf "%s.servicePort: found %v with backend inferencePool; allowed: with backend service, as the HTTPRoute names no Service then" $at .servicePort) -}}
    {{- end -}}
    {{- if $pool.create -}}
      {{- fail (printf "%s.inferencePool.create: found true with backend inferencePool; allowed: false, as the pool is the EPP's own" $at) -}}
    {{- end -}}
    {{- if eq $p.way "wasmPlugin" -}}
      {{- fail (printf "picker.way: found wasmPlugin with %s.backend inferencePool; allowed: wasmPluginFailover, envoyFilter" $at) -}}
    {{- end -}}
    {{- if and (eq (.epp | default "lookOn") "off") (not .routes) (ne (.kind | default "pods") "llmInferenceService") -}}
      {{- fail (printf "%s.routes: missing; with epp off it lists the HTTPRoute's rules that leave the EPP out, each as NAMESPACE.HTTPROUTE.NUMBER from 0, or by the rule's own name" $at) -}}
    {{- end -}}
  {{- else if .epp -}}
    {{- fail (printf "%s.epp: found %s with backend service; allowed: with backend inferencePool" $at .epp) -}}
  {{- end -}}
{{- end -}}
{{- if and $p.routeHeaders (ne $p.way "envoyFilter") -}}
  {{- fail (printf "picker.routeHeaders: found true with picker.way %s; allowed: envoyFilter, which holds a request's headers until its model is known" $p.way) -}}
{{- end -}}
{{- if $p.routeHeaders -}}
  {{- $fallbacks := list -}}
  {{- range .Values.models -}}
    {{- with .fallback }}{{ $fallbacks = append $fallbacks .pool }}{{ end -}}
  {{- end -}}
  {{- range $number, $model := .Values.models -}}
    {{- if not (or .match (has .name $fallbacks) (has (printf "%s.%s" .namespace .name) $fallbacks)) -}}
      {{- fail (printf "models[%d].match: missing; with picker.routeHeaders match.model tells whose a request is, which has its own route only afterwards, or another model's fallback names this one" $number) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $steps := include "llm-picker.steps" . | fromJsonArray -}}
{{- if eq $p.mode "observe" -}}
  {{- if eq $p.way "wasmPlugin" -}}
    {{- fail "picker.mode: found observe with picker.way wasmPlugin; allowed: wasmPluginFailover, envoyFilter, whose clusters go on without a picker" -}}
  {{- end -}}
  {{- if or (has "override" $steps) (has "off" $steps) -}}
    {{- fail "models[].epp: found override or off with picker.mode observe; allowed: lookOn, as nothing is decided then" -}}
  {{- end -}}
{{- end -}}
{{- if and (lt (int $p.canaryPercent) 100) (ne (join "," (uniq $steps)) "override") -}}
  {{- fail (printf "picker.canaryPercent: found %v with epp %s; allowed: 100, or epp override for all models, as the EPP has the others" $p.canaryPercent (uniq $steps | join ", ")) -}}
{{- end -}}
{{- if and $p.canaryPodLabels (or (has "lookOn" $steps) (has "none" $steps)) -}}
  {{- fail (printf "picker.canaryPodLabels: found %s with epp %s; allowed: none, or epp override or off for all models, as the EPP has the other pods' requests" (toJson $p.canaryPodLabels) (uniq $steps | join ", ")) -}}
{{- end -}}
{{- if and (has "lookOn" $steps) (gt (len (uniq $steps)) 1) -}}
  {{- fail (printf "models: found epp lookOn beside %s; allowed: lookOn for all models of a release or for none, as looking on is a mode of the whole plugin" (without (uniq $steps) "lookOn" | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end }}

{{- define "llm-picker.checkUnpicked" -}}
{{- if not .routeHeaders -}}
  {{- fail (printf "%s.unpicked: found true with picker.routeHeaders false; allowed: with true, as only the route leads to such a model" .at) -}}
{{- end -}}
{{- range $key := list "podLabels" "config" "fallback" "epp" "backend" "inferencePool" -}}
  {{- if hasKey $.model $key -}}
    {{- fail (printf "%s.%s: found beside unpicked; allowed: without it, as no endpoint of that model is chosen" $.at $key) -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{- /* Fallbacks are other models of the release, by the names of their pools. */ -}}
{{- define "llm-picker.checkFallbacks" -}}
{{- $pools := list -}}
{{- range . -}}
{{- $pools = append $pools .poolName -}}
{{- end -}}
{{- range $number, $model := . -}}
  {{- with .fallback -}}
    {{- if not (has .pool (without $pools $model.poolName)) -}}
      {{- fail (printf "models[%d].fallback.pool: found %s; allowed: another model's pool, of %s" $number .pool (join ", " $pools)) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{- /* What each model does beside its EPP, as JSON: lookOn, override, off, or none for one that has none. */ -}}
{{- define "llm-picker.steps" -}}
{{- $steps := list -}}
{{- range .Values.models -}}
{{- $steps = append $steps (ternary (.epp | default "lookOn") "none" (eq (.backend | default "service") "inferencePool")) -}}
{{- end -}}
{{- toJson $steps -}}
{{- end }}

{{- /* Of all models: true where the picker only looks on, while an EPP or Envoy decides. No cluster follows the header then, which
       the picker leaves to whoever wrote it. */ -}}
{{- define "llm-picker.looksOn" -}}
{{ if or (eq .Values.picker.mode "observe") (has "lookOn" (include "llm-picker.steps" . | fromJsonArray)) }}true{{ end }}
{{- end }}

{{- /* The Service that istiod makes of an InferencePool: 63 bytes at most. */ -}}
{{- define "llm-picker.poolService" -}}
{{ trunc 51 . }}-ip-{{ sha256sum . | trunc 8 }}
{{- end }}

{{- /* The models as JSON, with every default filled in. `first` is the first of its namespace. */ -}}
{{- define "llm-picker.models" -}}
{{- include "llm-picker.check" . -}}
{{- $models := list -}}
{{- $names := list -}}
{{- $namespaces := list -}}
{{- range .Values.models -}}
{{- $kserve := eq (.kind | default "pods") "llmInferenceService" -}}
{{- $pool := .inferencePool | default dict -}}
{{- $model := dict "name" .name "namespace" .namespace "kserve" $kserve "port" (.port | default 8000) -}}
{{- /* Metrics and snapshots are told apart by it. */ -}}
{{- $_ := set $model "poolName" (ternary (printf "%s.%s" .namespace .name) .name (has .name $names)) -}}
{{- $_ := set $model "service" (.service | default (ternary (printf "%s-kserve-workload-svc" .name) .name $kserve)) -}}
{{- $_ := set $model "backend" (ternary (printf "%s-picked" .name) $model.service (eq $.Values.picker.way "wasmPlugin")) -}}
{{- $_ := set $model "host" (printf "%s.%s.svc.cluster.local" $model.backend .namespace) -}}
{{- $ofService := dict "app.kubernetes.io/name" .name "app.kubernetes.io/part-of" "llminferenceservice" "kserve.io/component" "workload" -}}
{{- $_ := set $model "podLabels" (ternary $ofService (.podLabels | default dict) $kserve) -}}
{{- $beside := eq (.backend | default "service") "inferencePool" -}}
{{- $_ := set $model "beside" $beside -}}
{{- $_ := set $model "epp" (ternary (.epp | default "lookOn") "none" $beside) -}}
{{- $_ := set $model "createPool" (default false $pool.create) -}}
{{- $_ := set $model "pool" ($pool.name | default (ternary (printf "%s-inference-pool" .name) (ternary (printf "%s-picked" .name) "" $model.createPool) (and $beside $kserve))) -}}
{{- if $beside -}}
{{- $_ := set $model "backend" $model.pool -}}
{{- $_ := set $model "host" (printf "%s.%s.svc.cluster.local" (include "llm-picker.poolService" $model.pool) .namespace) -}}
{{- /* Istio's own number for the pool's first target port. */ -}}
{{- $_ := set $model "clusterPort" 54321 -}}
{{- else -}}
{{- $_ := set $model "clusterPort" (.servicePort | default $model.port) -}}
{{- end -}}
{{- $rules := list -}}
{{- $namespace := .namespace -}}
{{- $name := .name -}}
{{- range $number := until 3 -}}
{{- $rules = append $rules (printf "%s.%s-kserve-route.%d" $namespace $name $number) -}}
{{- end -}}
{{- $_ := set $model "routes" (.routes | default (ternary $rules list $kserve)) -}}
{{- $_ := set $model "https" (or $kserve (dig "insecureSkipVerify" false (.tls | default dict))) -}}
{{- $_ := set $model "match" (.match | default (dict "cluster" (printf "outbound|%v||%s" $model.clusterPort $model.host))) -}}
{{- $_ := set $model "config" (.config | default $.Values.picker.config) -}}
{{- $_ := set $model "gatewayShare" (.gatewayShare | default $.Values.picker.gatewayShare) -}}
{{- $_ := set $model "fallback" .fallback -}}
{{- $_ := set $model "unpicked" (default false .unpicked) -}}
{{- $_ := set $model "first" (not (or .unpicked (has .namespace $namespaces))) -}}
{{- $models = append $models $model -}}
{{- $names = append $names .name -}}
{{- if not .unpicked -}}
{{- $namespaces = append $namespaces .namespace -}}
{{- end -}}
{{- end -}}
{{- include "llm-picker.checkFallbacks" $models -}}
{{- toJson $models -}}
{{- end }}

{{- /* Those of the values and of the service accounts, as JSON. */ -}}
{{- define "llm-picker.objectives" -}}
{{- $objectives := .Values.objectives -}}
{{- range .Values.serviceAccounts -}}
{{- $objectives = append $objectives (dict "name" .namespace "priority" .priority) -}}
{{- end -}}
{{- toJson $objectives -}}
{{- end }}

{{- /* The plugin's configuration. */ -}}
{{- define "llm-picker.config" -}}
{{- $ways := dict
  "wasmPlugin" (dict "hold" "bufferFilter" "destination" "filterState")
  "wasmPluginFailover" (dict "hold" "bufferFilter" "destination" "property")
  "envoyFilter" (dict "hold" "stopIteration" "destination" "header") -}}
{{- $p := .Values.picker -}}
{{- $envoy := merge (dict "maxBodyBytes" $p.maxBodyBytes) (get $ways $p.way) -}}
{{- if $p.attributes -}}
{{- $_ := set $envoy "attributes" true -}}
{{- end -}}
{{- $pools := list -}}
{{- range include "llm-picker.models" . | fromJsonArray -}}
{{- $pool := dict "name" .poolName "match" .match -}}
{{- if .unpicked -}}
{{- $_ := set $pool "unpicked" true -}}
{{- else -}}
{{- $_ := set $pool "config" .config -}}
{{- end -}}
{{- with .fallback -}}
{{- $_ := set $pool "fallback" . -}}
{{- end -}}
{{- if lt (float64 .gatewayShare) 1.0 -}}
{{- $_ := set $pool "gatewayShare" .gatewayShare -}}
{{- end -}}
{{- if not (or .unpicked .beside (and .first .createPool $.Values.objectiveGroup)) -}}
{{- $_ := set $pool "objectives" (include "llm-picker.objectives" $ | fromJsonArray) -}}
{{- end -}}
{{- $pools = append $pools $pool -}}
{{- end -}}
{{- $config := dict "pools" $pools "identity" $p.identity "failureMode" $p.failureMode "decisionHeader" $p.decisionHeader "mode" (ternary "observe" $p.mode (eq (include "llm-picker.looksOn" .) "true")) "envoy" $envoy -}}
{{- if $p.routeHeaders -}}
{{- $_ := set $config "routeHeaders" true -}}
{{- end -}}
{{- if include "llm-picker.pull" . -}}
{{- $_ := set $config "pull" (dict "cluster" (printf "outbound|9091||%s" (include "llm-picker.scraperHost" .))) -}}
{{- end -}}
{{- toJson $config -}}
{{- end }}

{{- /* A body that Envoy may hold: a little more than the plugin takes, which answers beyond it in its own words. */ -}}
{{- define "llm-picker.bufferLimit" -}}
{{ add (int64 .Values.picker.maxBodyBytes) 1048576 }}
{{- end }}

{{- define "llm-picker.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "llm-picker.beforeRouter" -}}
context: GATEWAY
listener:
  filterChain:
    filter:
      name: envoy.filters.network.http_connection_manager
      subFilter: {name: envoy.filters.http.router}
{{- end }}

{{- define "llm-picker.ofGateway" -}}
labels: {gateway.networking.k8s.io/gateway-name: {{ .Values.gateway.name }}}
{{- end }}

{{- /* The gateway's pods on which the picker decides in the place of an EPP: all, if no labels say which. */ -}}
{{- define "llm-picker.ofCanary" -}}
labels: {{ merge (dict "gateway.networking.k8s.io/gateway-name" .Values.gateway.name) (.Values.picker.canaryPodLabels | default dict) | toJson }}
{{- end }}

{{- /* Of an object as `lookup` found it and the context: true if this release makes it, as there is none yet or it is its own. */ -}}
{{- define "llm-picker.makes" -}}
{{- $there := index . 0 -}}
{{- $root := index . 1 -}}
{{- $said := dig "metadata" "annotations" dict ($there | default dict) -}}
{{- $owner := printf "%s/%s" (get $said "meta.helm.sh/release-namespace") (get $said "meta.helm.sh/release-name") -}}
{{ if or (not $there) (eq $owner (printf "%s/%s" $root.Release.Namespace $root.Release.Name)) }}true{{ end }}
{{- end }}

{{- define "llm-picker.code" -}}
remote:
  # The agent in the gateway's pod fetches this. Envoy itself demands a cluster and a checksum; nil is none.
  http_uri: {uri: {{ include "llm-picker.url" . | quote }}, cluster: _, timeout: 30s}
  sha256: {{ .Values.picker.image.sha256 | default "nil" | quote }}
{{- end }}

{{- define "llm-picker.headerToMetadata" -}}
"@type": type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config
request_rules:
- header: x-gateway-destination-endpoint
  on_header_present: {metadata_namespace: envoy.lb, key: x-gateway-destination-endpoint, type: STRING}
{{- end }}

{{- /* Headers that steer, which no client may set (wire/src/config/steering.rs), as a YAML list. */ -}}
{{- define "llm-picker.steering" -}}
- x-gateway-destination-endpoint
- x-gateway-destination-endpoint-subset
- x-llm-d-model-name-rewrite
- x-gateway-model-name-rewrite
- x-prefiller-host-port
- x-encoder-hosts-ports
- x-kv-cache-source-host-port
- x-data-parallel-host-port
- x-data-parallel-rank
- x-llm-d-disagg-revision
- x-vllm-priority
- x-llm-d-video-fps
- x-llm-d-video-duration-seconds
- x-llm-d-video-resolution
- x-llm-d-audio-duration-seconds
- x-gateway-destination-endpoint-served
{{- end }}

{{- define "llm-picker.discovery" -}}
config_source: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}
type_urls:
- type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
- type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
{{- end }}

{{- define "llm-picker.scraperConfig" -}}
listen: 0.0.0.0:9091
secretFile: /etc/llm-scraper-secret/secret
interval: {{ .Values.scraper.interval }}
timeout: {{ .Values.scraper.timeout }}
{{- if .Values.picker.image.fromScraper }}
plugin: /usr/local/share/llm-picker/llm-picker.wasm
{{- end }}
gateways:
  {{- if include "llm-picker.pull" . }}
  pull: true
  {{- else }}
  service: {name: {{ .Release.Name }}-gateways, namespace: {{ .Values.gateway.namespace }}, port: {{ .Values.ingest.port }}}
  {{- end }}
pools:
{{- range include "llm-picker.models" . | fromJsonArray }}
{{- if not .unpicked }}
- name: {{ .poolName }}
  {{- if .pool }}
  inferencePool: {name: {{ .pool }}, namespace: {{ .namespace }}, nodeZones: {{ $.Values.scraper.nodeZones }}}
  {{- else }}
  pods: {labels: {{ toJson .podLabels }}, port: {{ .port }}, namespace: {{ .namespace }}, nodeZones: {{ $.Values.scraper.nodeZones }}}
  {{- end }}
  {{- if .https }}
  metrics: {scheme: https, insecureSkipVerify: true}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}
