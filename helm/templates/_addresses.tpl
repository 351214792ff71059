{{/* Addresses and networks of IPv6, which no pattern tells; those of IPv4 are the schema's. */}}

{{/* The eight numbers of an address, as a JSON list; of what is none an empty one. */}}
{{- define "gatepost.ipv6" -}}
{{- $text := . -}}
{{- $byte := "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])" -}}
{{- $last := regexFind (printf "([:]%s[.]%s[.]%s[.]%s)$" $byte $byte $byte $byte) $text | trimPrefix ":" -}}
{{- if $last -}}
{{- $bytes := splitList "." $last -}}
{{- $four := printf "%02x%02x:%02x%02x" (index $bytes 0 | atoi) (index $bytes 1 | atoi) (index $bytes 2 | atoi) (index $bytes 3 | atoi) -}}
{{- $text = printf "%s%s" (trimSuffix $last $text) $four -}}
{{- end -}}
{{- $halves := splitList "::" $text -}}
{{- $numbers := list -}}
{{- $isOne := le (len $halves) 2 -}}
{{- $given := 0 -}}
{{- range $halves -}}{{- if . -}}{{- $given = add $given (len (splitList ":" .)) -}}{{- end -}}{{- end -}}
{{- range $i, $half := $halves -}}
{{- if eq $i 1 -}}{{- range until (sub 8 $given | max 0 | int) -}}{{- $numbers = append $numbers 0 -}}{{- end -}}{{- end -}}
{{- range ternary (splitList ":" $half) list (ne $half "") -}}
{{- if not (regexMatch "^[0-9A-Fa-f]{1,4}$" .) -}}{{- $isOne = false -}}{{- end -}}
{{- $numbers = append $numbers (printf "0x%s" . | int64) -}}
{{- end -}}
{{- end -}}
{{- toJson (ternary $numbers list (and $isOne (eq (len $numbers) 8) (or (eq (len $halves) 1) (lt $given 8)))) -}}
{{- end -}}

{{/* Whether an address is one of IPv4, written in IPv6's way; argument: its numbers. */}}
{{- define "gatepost.isMapped" -}}
{{- if hasPrefix "[0,0,0,0,0,65535," (toJson .) -}}true{{- end -}}
{{- end -}}

{{/* What is wrong with the host of a URL or with `[ADDRESS]:PORT`; argument: dict "text", "listens". */}}
{{- define "gatepost.notHost" -}}
{{- $authority := regexReplaceAll "^([a-z0-9+]+://)?([^/?#]*@)?([^/?#]*).*$" .text "${3}" -}}
{{- if hasPrefix "[" $authority -}}
{{- $address := regexReplaceAll "^\\[([^]]*)\\].*$" $authority "${1}" -}}
{{- $numbers := include "gatepost.ipv6" $address | fromJsonArray -}}
{{- if not $numbers -}}
expected an address of IPv6 between the brackets, like `[2001:db8::1]`
{{- else if and .listens (include "gatepost.isMapped" $numbers) -}}
expected an address of IPv4 as IPv4 writes it
{{- end -}}
{{- else if gt (len (regexReplaceAll ":[0-9]*$" $authority "")) 253 -}}
expected a host name, of at most 253 characters
{{- end -}}
{{- end -}}

{{/* What is wrong with a network of IPv6 or one address. */}}
{{- define "gatepost.notNetwork" -}}
{{- $parts := splitList "/" . -}}
{{- $prefix := ternary (last $parts) "128" (eq (len $parts) 2) -}}
{{- $numbers := include "gatepost.ipv6" (first $parts) | fromJsonArray -}}
{{- $isFirst := true -}}
{{- range $i, $number := $numbers -}}
{{- $size := 1 -}}
{{- range until (sub (mul 16 (add $i 1)) (atoi $prefix) | max 0 | min 16 | int) -}}{{- $size = mul 2 $size -}}{{- end -}}
{{- if mod (int64 $number) $size -}}{{- $isFirst = false -}}{{- end -}}
{{- end -}}
{{- if not (and $numbers (le (len $prefix) 3)) -}}
expected a network or an address, like `10.0.0.0/8` or `2001:db8::1`
{{- else if and (include "gatepost.isMapped" $numbers) (ge (atoi $prefix) 96) -}}
expected a network of IPv4 as IPv4 writes it
{{- else if not $isFirst -}}
expected the network's first address before the slash
{{- end -}}
{{- end -}}

{{/* Every URL and address of proxy.yaml; argument: dict "root", "config". */}}
{{- define "gatepost.validate.hosts" -}}
{{- $found := list (dict "key" "config.admin.bind" "url" .config.admin.bind "listens" true) -}}
{{- range $i, $listener := .config.listeners -}}
{{- $map := ternary $listener (dict "bind" $listener) (kindIs "map" $listener) -}}
{{- $found = append $found (dict "key" (printf "config.listeners[%d]" $i) "url" $map.bind "listens" true) -}}
{{- end -}}
{{- range include "gatepost.hostUrls" .root | fromJsonArray -}}{{- $found = append $found . -}}{{- end -}}
{{- $state := .config.state -}}
{{- $url := ternary (get (ternary $state dict (kindIs "map" $state)) "url") $state (kindIs "map" $state) | default "" | toString -}}
{{- if hasPrefix "redis" $url -}}{{- $found = append $found (dict "key" "config.state" "url" $url) -}}{{- end -}}
{{- range $found -}}
{{- if not (contains "${" .url) -}}
{{- $why := include "gatepost.notHost" (dict "text" .url "listens" .listens) -}}
{{- if $why -}}{{- fail (printf "%s: `%s` cannot be used; %s" .key (regexReplaceAll "://[^/?#]*@" .url "://…@") $why) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
