{{/* What the pod has, and what the settings may ask of it. */}}

{{/* resources.limits.memory in octets; none: there is no limit, or none that can be read. */}}
{{- define "gatepost.memory" -}}
{{- $limit := ((.Values.resources).limits).memory | default "" -}}
{{- $text := ternary (toString $limit) (int64 $limit | toString) (kindIs "string" $limit) -}}
{{- $number := regexFind "^[0-9]+([.][0-9]*)?" $text -}}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $unit := trimPrefix $number $text -}}
{{- if and $number (hasKey $units $unit) -}}
{{- mulf (float64 $number) (get $units $unit) | int64 -}}
{{- end -}}
{{- end -}}

{{/* Connections for which the limit of memory is enough, whatever clients do who have not logged in: 64 KiB each, which is
what the gateway keeps to, and 100 MiB for everything else. At most the gateway's own default. */}}
{{- define "gatepost.connections" -}}
{{- with include "gatepost.memory" . -}}
{{- div (sub (int64 .) 104857600) 65536 | max 256 | min 20000 -}}
{{- end -}}
{{- end -}}
