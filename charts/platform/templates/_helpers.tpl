{{/* Labels of every object. Call with (dict "root" $ "component" "dashboard"). */}}
{{- define "platform.labels" -}}
{{ include "platform.selector" . }}
app.kubernetes.io/part-of: urumi
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "platform.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "platform.host" -}}
{{ index .root.Values.hosts .which }}.{{ .root.Values.domain }}
{{- end }}

{{- define "platform.issuer" -}}
{{ .Values.tls.issuer | default "urumi" }}
{{- end }}

{{- define "platform.perHost" -}}
{{- if and .Values.tls.enabled (eq .Values.tls.certificates "per-host") }}yes{{ end }}
{{- end }}

{{- define "platform.databaseSecret" -}}
{{ .Values.database.existingSecret | default "urumi-database" }}
{{- end }}

{{/* What all pods share. Call with (dict "root" $ "uid" 65532). */}}
{{- define "platform.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .uid }}
  runAsGroup: {{ .uid }}
  fsGroup: {{ .uid }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* What all containers share. */}}
{{- define "platform.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* A part of a Secret of ours, drawn once: what the cluster has wins. Call with (dict "root" $ "name" … "key" … "draw" …). */}}
{{- define "platform.drawn" -}}
{{- $known := dig "data" (dict) (lookup "v1" "Secret" .root.Release.Namespace .name) -}}
{{ get $known .key | default (b64enc .draw) }}
{{- end }}

{{/* The egress to PostgreSQL. */}}
{{- define "platform.toDatabase" -}}
{{- if and .Values.database.existingSecret (not .Values.database.existingNetworks) }}
{{- fail "database.existingNetworks: policies must know where the database is." }}
{{- end -}}
to:
  {{- if .Values.database.existingSecret }}
  {{- range .Values.database.existingNetworks }}
  - ipBlock: {cidr: {{ . }}}
  {{- end }}
  {{- else }}
  - podSelector:
      matchLabels: {{- include "platform.selector" (dict "root" . "component" "postgres") | nindent 8 }}
  {{- end }}
ports: [{port: 5432}]
{{- end }}

{{/* Where all pods have the authorities that they trust; knative/ mounts the same ConfigMap there. */}}
{{- define "platform.authorities" -}}
/etc/urumi/ca.crt
{{- end }}

{{/* Options of glibc's resolver; names of three dots and more are complete. */}}
{{- define "platform.resolver" -}}
single-request timeout:1 attempts:5 ndots:3
{{- end }}

{{/* The platform's id. The ConfigMap is asked once per rendering: a second drawing would be another id. */}}
{{- define "platform.id" -}}
{{- if not (hasKey .Values "drawnId") }}
{{- $known := dig "data" "id" "" (lookup "v1" "ConfigMap" .Release.Namespace "urumi-platform") }}
{{- $_ := set .Values "drawnId" (.Values.platformId | default $known | default uuidv4) }}
{{- end }}
{{- .Values.drawnId }}
{{- end }}

{{/* What checkov is answered about every object that has pods: annotations of the object and not of its pods, which would
restart when an answer changes. */}}
{{- define "platform.answers" -}}
checkov.io/skip15: CKV_K8S_15=A node that has the image needs no registry to start it; images.pullPolicy can say otherwise.
checkov.io/skip43: CKV_K8S_43=Urumi builds its images where they run, so no digest is known here; images.postgres may end in one.
{{- end }}
