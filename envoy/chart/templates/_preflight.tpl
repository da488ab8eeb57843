{{- /* What can be known of a cluster before anything is changed in it. Only a cluster says which kinds it has: without one, as in
       `helm template`, nothing is looked at. */ -}}
{{- define "llm-picker.preflight" -}}
{{- if .Capabilities.APIVersions.Has "apps/v1/Deployment" -}}
{{- $needed := dict -}}
{{- if .Values.install.gateway -}}
  {{- $_ := set $needed "networking.istio.io/v1alpha3/EnvoyFilter" "Istio" -}}
  {{- $_ := set $needed "gateway.networking.k8s.io/v1/Gateway" "the Gateway API" -}}
  {{- if ne .Values.picker.way "envoyFilter" -}}
    {{- $_ := set $needed "extensions.istio.io/v1alpha1/WasmPlugin" "Istio" -}}
  {{- end -}}
{{- end -}}
{{- $models := include "llm-picker.models" . | fromJsonArray -}}
{{- range $models -}}
  {{- if .pool -}}
    {{- $_ := set $needed "inference.networking.k8s.io/v1/InferencePool" (printf "model %s, which has an InferencePool" .name) -}}
    {{- if and .createPool $.Values.objectiveGroup $.Values.objectives $.Values.install.models -}}
      {{- $_ := set $needed (printf "%s/v1alpha2/InferenceObjective" $.Values.objectiveGroup) "objectiveGroup" -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if .Values.monitoring.enabled -}}
  {{- $_ := set $needed "monitoring.coreos.com/v1/PrometheusRule" "monitoring.enabled" -}}
{{- end -}}
{{- range $kind, $why := $needed -}}
  {{- if not ($.Capabilities.APIVersions.Has $kind) -}}
    {{- fail (printf "this cluster has no %s, which is needed for %s: install its CRDs first" $kind $why) -}}
  {{- end -}}
{{- end -}}
{{- /* Whoever makes Roles in a model's namespace may look at its Services. */ -}}
{{- if and .Values.install.models (ne .Values.picker.way "wasmPlugin") -}}
  {{- range $number, $model := $models -}}
    {{- if not (or .beside .unpicked) -}}
      {{- include "llm-picker.serviceHasPort" (dict "at" (printf "models[%d]" $number) "model" .) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if .Values.install.gateway -}}
  {{- include "llm-picker.gatewayIsThere" . -}}
  {{- include "llm-picker.stepFollows" . -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* Of a Service that is there: a route to another of its ports is another cluster, whose requests nothing picks for. */ -}}
{{- define "llm-picker.serviceHasPort" -}}
{{- $ports := list -}}
{{- $service := lookup "v1" "Service" .model.namespace .model.service -}}
{{- range dig "spec" "ports" list ($service | default dict) -}}
{{- $ports = append $ports (int .port) -}}
{{- end -}}
{{- if and $ports (not (has (int .model.clusterPort) $ports)) -}}
  {{- fail (printf "%s.servicePort: found %d; allowed: a port of Service %s/%s, which has: %s" .at (int .model.clusterPort) .model.namespace .model.service (join ", " $ports)) -}}
{{- end -}}
{{- end }}

{{- define "llm-picker.gatewayIsThere" -}}
{{- $name := .Values.gateway.name -}}
{{- $gateways := list -}}
{{- range (lookup "gateway.networking.k8s.io/v1" "Gateway" .Values.gateway.namespace "").items -}}
{{- $gateways = append $gateways .metadata.name -}}
{{- end -}}
{{- if not (has $name $gateways) -}}
  {{- fail (printf "gateway.name: found %s; allowed: a Gateway that is there. Namespace %s has: %s" $name .Values.gateway.namespace (join ", " $gateways | default "none")) -}}
{{- end -}}
{{- end }}

{{- /* Filters and routes change at different times in a gateway, so a release changes one of them only. */ -}}
{{- define "llm-picker.stepFollows" -}}
{{- $steps := include "llm-picker.steps" . | fromJsonArray -}}
{{- $has := dict -}}
{{- range $part := list "pool" "epp-off" -}}
{{- $_ := set $has $part (not (empty (lookup "networking.istio.io/v1alpha3" "EnvoyFilter" $.Values.gateway.namespace (printf "%s-%s" $.Release.Name $part)))) -}}
{{- end -}}
{{- if and (has "off" $steps) (not (get $has "pool")) -}}
  {{- fail "models[].epp: found off, and this release did not override before; allowed: first a release with epp override" -}}
{{- end -}}
{{- if and (get $has "epp-off") (not (has "off" $steps)) (not (has "override" $steps)) -}}
  {{- fail (printf "models[].epp: found %s, and the EPP is off; allowed: first a release with epp override" (uniq $steps | join ", ")) -}}
{{- end -}}
{{- end }}
