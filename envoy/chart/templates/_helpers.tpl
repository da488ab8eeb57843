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

{{- define "llm-picker.scraperName" -}}
{{ printf "%s-scraper" (.Release.Name | trunc 50 | trimSuffix "-") }}
{{- end }}

{{- /* "oci://repository@digest", "oci://repository:tag", or the URL that takes their place. */ -}}
{{- define "llm-picker.url" -}}
{{- with .Values.picker.image -}}
{{- if .url -}}{{ .url }}
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

{{- define "llm-picker.kserve" -}}
{{ if eq .Values.model.kind "llmInferenceService" }}true{{ end }}
{{- end }}

{{- define "llm-picker.service" -}}
{{- if .Values.model.service -}}{{ .Values.model.service }}
{{- else if include "llm-picker.kserve" . -}}{{ .Values.model.name }}-kserve-workload-svc
{{- else -}}{{ .Values.model.name }}
{{- end -}}
{{- end }}

{{- define "llm-picker.podLabels" -}}
{{- if include "llm-picker.kserve" . -}}
app.kubernetes.io/name: {{ .Values.model.name }}
app.kubernetes.io/part-of: llminferenceservice
kserve.io/component: workload
{{- else -}}
{{ toYaml .Values.model.podLabels }}
{{- end -}}
{{- end }}

{{- define "llm-picker.poolName" -}}
{{ .Values.model.inferencePool.name | default (printf "%s-picked" .Values.model.name) }}
{{- end }}

{{- /* The plugin's configuration. */ -}}
{{- define "llm-picker.config" -}}
{{- $ways := dict
  "wasmPlugin" (dict "hold" "bufferFilter" "destination" "filterState")
  "wasmPluginFailover" (dict "hold" "bufferFilter" "destination" "property")
  "envoyFilter" (dict "hold" "stopIteration" "destination" "header") -}}
{{- $p := .Values.picker -}}
{{- $envoy := merge (dict "maxBodyBytes" $p.maxBodyBytes) (get $ways $p.way) -}}
{{- $pool := dict "name" .Values.model.name "config" $p.config -}}
{{- if lt (float64 $p.gatewayShare) 1.0 -}}
{{- $pool = set $pool "gatewayShare" $p.gatewayShare -}}
{{- end -}}
{{- dict
  "pools" (list $pool)
  "identity" $p.identity "failureMode" $p.failureMode "decisionHeader" $p.decisionHeader
  "envoy" $envoy | toJson -}}
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

{{- define "llm-picker.code" -}}
remote:
  # The agent in the gateway's pod fetches this. Envoy itself demands a cluster and a checksum; nil is none.
  http_uri: {uri: {{ include "llm-picker.url" . | quote }}, cluster: _, timeout: 30s}
  sha256: {{ .Values.picker.image.sha256 | default "nil" }}
{{- end }}

{{- define "llm-picker.discovery" -}}
config_source: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}
type_urls:
- type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
- type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
{{- end }}

{{- define "llm-picker.scraperConfig" -}}
listen: 0.0.0.0:9091
interval: {{ .Values.scraper.interval }}
timeout: {{ .Values.scraper.timeout }}
gateways:
  service: {name: {{ .Release.Name }}-gateways, namespace: {{ .Values.gateway.namespace }}, port: {{ .Values.ingest.port }}}
pools:
- name: {{ .Values.model.name }}
  inferencePool: {name: {{ include "llm-picker.poolName" . }}, namespace: {{ .Values.model.namespace }}}
  {{- if or (include "llm-picker.kserve" .) .Values.model.tls.insecureSkipVerify }}
  metrics: {scheme: https, insecureSkipVerify: true}
  {{- end }}
{{- end }}
