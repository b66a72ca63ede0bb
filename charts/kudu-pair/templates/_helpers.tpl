{{/* Name of everything that the chart makes: the release's, with the chart's in it. At most 50 characters, for suffixes. */}}
{{- define "kudu-pair.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The operator's image. Pairs' members run it too. */}}
{{- define "kudu-pair.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{/* Labels that select the controllers; a Deployment's selector cannot be changed later. */}}
{{- define "kudu-pair.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: controller
{{- end -}}

{{/* Labels that select the node agents; a DaemonSet's selector cannot be changed later. */}}
{{- define "kudu-pair.nodeAgentSelectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: node-agent
{{- end -}}

{{/* Labels of everything that the chart makes for the controllers. */}}
{{- define "kudu-pair.labels" -}}
{{ include "kudu-pair.selectorLabels" . }}
{{ include "kudu-pair.commonLabels" . }}
{{- end -}}

{{/* Labels of everything that the chart makes for the node agents. */}}
{{- define "kudu-pair.nodeAgentLabels" -}}
{{ include "kudu-pair.nodeAgentSelectorLabels" . }}
{{ include "kudu-pair.commonLabels" . }}
{{- end -}}

{{- define "kudu-pair.commonLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: kudu
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* As tight as the `restricted` pod security standard, and a read-only root file system. */}}
{{- define "kudu-pair.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
