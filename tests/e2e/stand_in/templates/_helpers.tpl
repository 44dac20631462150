{{- define "labels" -}}
{{ include "podLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.Version | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
urumi.dev/owner: {{ .root.Values.store.owner | quote }}
{{- end }}

{{- define "podLabels" -}}
{{ include "selector" . }}
app.kubernetes.io/part-of: urumi
urumi.dev/store: {{ .root.Values.store.id | quote }}
{{- end }}

{{- define "selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 1
securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
{{- end }}

{{/* The functions' image has the Python that both parts run on, and is on every node. */}}
{{- define "container" -}}
{{- with .Values.images.web -}}
image: {{ printf "%s:%s" .repository .tag | replace "urumi-woocommerce" "urumi-functions" | quote }}
{{- end }}
imagePullPolicy: IfNotPresent
resources:
  requests: {cpu: 5m, memory: 24Mi}
  limits: {cpu: 500m, memory: 64Mi}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}
