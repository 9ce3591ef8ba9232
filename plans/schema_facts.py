"""Decides how a database's schema is asked for: a command for sh, whose lines each name the table that they are of."""

import shlex

# One line a column, so that a difference reads as what it is. What is made by hand has the text of its making.
_SQLITE_QUERY = """select 'column ' || m.name || '.' || p.name || ': ' || p.type
  || case p."notnull" when 1 then ' not null' else '' end
  || case when p.dflt_value is null then '' else ' default ' || p.dflt_value end
  || case p.pk when 0 then '' else ' key ' || p.pk end as line
from sqlite_master m join pragma_table_info(m.name) p where m.type = 'table' and m.name <> 'sqlite_sequence'
union all
select 'table ' || m.name || ': ' || f."from" || ' references ' || f."table" || ' ' || coalesce(f."to", '')
  || ' on delete ' || f.on_delete || ' on update ' || f.on_update
from sqlite_master m join pragma_foreign_key_list(m.name) f where m.type = 'table'
union all
select 'table ' || m.name || ': unique ' || group_concat(c.name)
from sqlite_master m join pragma_index_list(m.name) i join pragma_index_info(i.name) c
where m.type = 'table' and i.origin = 'u' group by m.name, i.name
union all
select type || ' ' || name || ' of ' || tbl_name || ': ' || replace(replace(sql, char(13), ''), char(10), ' ')
from sqlite_master where type <> 'table' and sql is not null
order by line;
"""

SQLITE = f"""has sqlite3 || complain "sqlite3 is not here to read the schema with"
case $path in -*) path=./$path ;; esac
[ -f "$path" ] || complain "there is no file $path"
sqlite3 -batch -readonly -noheader -list -cmd '.timeout 10000' "$path" {shlex.quote(_SQLITE_QUERY)}
"""

_AS_USER = """as=
if [ -n "$user" ] && [ "$user" != "$(id -un)" ]; then
  as="sudo -n -u $user"
  $as true || complain "$(id -un) may not become $user: allow it in sudoers, without a password"
fi
"""

# A line of a statement of many lines is told with the statement's first line, but for the first itself; a column is
# told as one. What is of a table is sorted: what was added later is last on one side and in the middle on the other.
_BY_STATEMENT = r"""
tab=$(printf '\t')
printf '%s\n' "$dump" | awk '
  !open && ($0 == "" || /^--/ || /^\\/ || /^SET / || /^SELECT pg_catalog\.set_config/) { next }
  !open && (/^\/\*M?![0-9]+\\/ || /^\/\*M?![0-9]+ SET / || /^DELIMITER /) { next }
  {
    gsub(/ AUTO_INCREMENT=[0-9]+/, "")
    gsub(/password \047([^\047]|\047\047)*\047/, "password (not shown)")
    gsub(/password=[^ \047]*/, "password=(not shown)")
    first = !open
    if (first) {
      block++; number = 0; head = $0
      table = sub(/ \($/, "", head) && sub(/^CREATE .*TABLE /, "table ", head)
    }
    number++
    left = $0
    while (match(left, /\$[A-Za-z_0-9]*\$/)) {
      mark = substr(left, RSTART, RLENGTH)
      left = substr(left, RSTART + RLENGTH)
      if (quote == "") quote = mark
      else if (quote == mark) quote = ""
    }
    open = quote != "" || !/;$/
    text = $0
    if (table) sub(/,$/, "", text)
    if (!first) {
      sub(/^ +/, "", text)
      if (table && match(text, /^(`[^`]*`|"[^"]*"|[a-z_][^ ]*) /)) {
        name = "column " substr(head, 7) "." substr(text, 1, RLENGTH - 1)
        gsub(/`/, "", name)
        text = name ": " substr(text, RLENGTH + 1)
      } else text = head ": " text
    }
    if (!(first && table)) print block "\t" (table ? 0 : number) "\t" text
  }
' | sort -t "$tab" -k1,1n -k2,2n -k3 | cut -f3-
"""

POSTGRESQL = f"""for folder in /usr/pgsql-*/bin; do PATH=$PATH:$folder; done
has pg_dump || complain "pg_dump is not here to read the schema with"
{_AS_USER}dump=$($as pg_dump --schema-only --no-password --dbname="$database") || complain "pg_dump ended with $?"
{_BY_STATEMENT}"""

MYSQL = f"""if has mariadb-dump; then tool=mariadb-dump
elif has mysqldump; then tool=mysqldump
else complain "neither mariadb-dump nor mysqldump is here to read the schema with"; fi
{_AS_USER}dump=$($as $tool --no-data --routines --events --triggers --skip-comments --skip-add-drop-table \\
  --no-tablespaces --skip-lock-tables -- "$database") || complain "$tool ended with $?"
{_BY_STATEMENT}"""

SQLSERVER_QUERY = """set nocount on;
select line from (
select concat('column ', s.name, '.', o.name, '.', c.name, ': ', t.name, '(', c.max_length, ',', c.precision, ',',
  c.scale, ')', case c.is_nullable when 0 then ' not null' else '' end, case c.is_identity when 1 then ' identity'
  else '' end, ' ' + d.definition, ' as ' + k.definition) as line
from sys.columns c join sys.objects o on o.object_id = c.object_id join sys.schemas s on s.schema_id = o.schema_id
join sys.types t on t.user_type_id = c.user_type_id
left join sys.default_constraints d on d.object_id = c.default_object_id
left join sys.computed_columns k on k.object_id = c.object_id and k.column_id = c.column_id
where o.is_ms_shipped = 0 and o.type = 'U'
union all
select concat('table ', s.name, '.', o.name, ': index ', i.name, ' ', i.type_desc, case i.is_unique when 1 then
  ' unique' else '' end, case i.is_primary_key when 1 then ' primary key' else '' end, ' ' + i.filter_definition,
  ': ', x.key_ordinal, ' ', c.name, case x.is_descending_key when 1 then ' desc' else '' end)
from sys.indexes i join sys.index_columns x on x.object_id = i.object_id and x.index_id = i.index_id
join sys.columns c on c.object_id = x.object_id and c.column_id = x.column_id
join sys.objects o on o.object_id = i.object_id join sys.schemas s on s.schema_id = o.schema_id
where o.is_ms_shipped = 0
union all
select concat('table ', s.name, '.', o.name, ': ', c.name, ' references ', object_schema_name(f.referenced_object_id),
  '.', object_name(f.referenced_object_id), '.', r.name, ' ', f.delete_referential_action_desc)
from sys.foreign_key_columns x join sys.foreign_keys f on f.object_id = x.constraint_object_id
join sys.objects o on o.object_id = x.parent_object_id join sys.schemas s on s.schema_id = o.schema_id
join sys.columns c on c.object_id = x.parent_object_id and c.column_id = x.parent_column_id
join sys.columns r on r.object_id = x.referenced_object_id and r.column_id = x.referenced_column_id
union all
select concat('table ', s.name, '.', o.name, ': check ', k.definition)
from sys.check_constraints k join sys.objects o on o.object_id = k.parent_object_id
join sys.schemas s on s.schema_id = o.schema_id
union all
select concat(lower(o.type_desc), ' ', s.name, '.', o.name, ': ',
  convert(varchar(64), hashbytes('SHA2_256', m.definition), 2))
from sys.sql_modules m join sys.objects o on o.object_id = m.object_id join sys.schemas s on s.schema_id = o.schema_id
where o.is_ms_shipped = 0
) as lines order by line collate Latin1_General_BIN2;
"""
"""One line a column, key or constraint; a view, procedure, function or trigger by its text's digest (2016 or later)."""

SQLSERVER = f"""for folder in /opt/mssql-tools18/bin /opt/mssql-tools/bin; do PATH=$PATH:$folder; done
has sqlcmd || complain "sqlcmd is not here to read the schema with"
trust=
[ -n "${{SQLCMDSERVER-}}" ] || trust=-C
lines=$(sqlcmd -b -I -h -1 -W -w 65535 $trust -d "$database" -Q {shlex.quote(SQLSERVER_QUERY)}) ||
  complain "sqlcmd ended with $?: $lines"
printf '%s\\n' "$lines"
"""
