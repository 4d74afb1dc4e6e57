using System;
using System.Collections.Generic;
using System.Globalization;

namespace Aognet.Client
{
    /// <summary>How a setting is asked for.</summary>
    public enum SettingKind { Text, Whole, Real, Flag, Choice, Json }

    /// <summary>
    /// One setting of a model. Path: its keys, joined by dots. Text: what the field shows; "" is null where null is allowed.
    /// </summary>
    public sealed class Setting
    {
        public string Path, Title, Description, Text;
        public SettingKind Kind;
        public bool IsNullable;
        public List<string> Choices = new List<string>();
        internal string DefaultText;

        /// <summary>Whether it differs from the model's own.</summary>
        public bool IsChanged
        {
            get { return Text != DefaultText; }
        }

        /// <summary>Makes it the model's own again.</summary>
        public void Reset()
        {
            Text = DefaultText;
        }

        /// <summary>Returns its value. Throws FormatException with its path where the text is none.</summary>
        public object Value()
        {
            if (Text == "" && IsNullable) return null;
            var culture = CultureInfo.InvariantCulture;
            if (Kind == SettingKind.Flag) return Text == "true";
            if (Kind == SettingKind.Json) return Parsed();
            if (Kind == SettingKind.Whole)
            {
                if (long.TryParse(Text, NumberStyles.AllowLeadingSign, culture, out var whole)) return whole;
                throw new FormatException(Path + ": expected a whole number, got '" + Text + "'");
            }
            if (Kind == SettingKind.Real)
            {
                if (double.TryParse(Text, NumberStyles.Float, culture, out var real) && !double.IsNaN(real) && !double.IsInfinity(real))
                    return real;
                throw new FormatException(Path + ": expected a number, got '" + Text + "'");
            }
            return Text;
        }

        private object Parsed()
        {
            try
            {
                return Json.Read(Text);
            }
            catch (FormatException error)
            {
                throw new FormatException(Path + ": expected JSON: " + error.Message);
            }
        }
    }

    /// <summary>The settings of a model, as its JSON schema describes them.</summary>
    public static class SettingsForm
    {
        private const int MaxDepth = 8;

        /// <summary>Returns the settings of a schema, in its order; nested ones have paths like "sampler.steps".</summary>
        public static List<Setting> Of(IDictionary<string, object> schema)
        {
            var found = new List<Setting>();
            Add(schema, schema.Map("$defs"), "", found, 0);
            return found;
        }

        /// <summary>Returns what differs from the model's own, nested as the schema is. Throws FormatException.</summary>
        public static Dictionary<string, object> Changes(IEnumerable<Setting> settings)
        {
            var changes = new Dictionary<string, object>();
            foreach (var setting in settings)
            {
                if (!setting.IsChanged) continue;
                var map = changes;
                var keys = setting.Path.Split('.');
                for (var index = 0; index < keys.Length - 1; index++)
                {
                    if (!map.ContainsKey(keys[index])) map[keys[index]] = new Dictionary<string, object>();
                    map = (Dictionary<string, object>)map[keys[index]];
                }
                map[keys[keys.Length - 1]] = setting.Value();
            }
            return changes;
        }

        private static void Add(
            IDictionary<string, object> schema, IDictionary<string, object> definitions, string path, List<Setting> found, int depth)
        {
            foreach (var pair in schema.Map("properties"))
            {
                var name = path + pair.Key;
                var given = schema.Map("properties").Map(pair.Key);
                var one = Resolved(given, definitions, out var isNullable);
                if (!isNullable && one.Map("properties").Count > 0 && depth < MaxDepth)
                    Add(one, definitions, name + ".", found, depth + 1);
                else found.Add(Leaf(name, given, one, isNullable));
            }
        }

        /// <summary>Returns what a reference names, and the one other alternative of null.</summary>
        private static IDictionary<string, object> Resolved(
            IDictionary<string, object> schema, IDictionary<string, object> definitions, out bool isNullable)
        {
            isNullable = false;
            for (var step = 0; step < MaxDepth; step++)
            {
                var others = schema.Maps("anyOf").FindAll(one => !IsNull(one));
                if (schema.ContainsKey("$ref"))
                {
                    var name = schema.Text("$ref");
                    schema = definitions.Map(name.Substring(name.LastIndexOf('/') + 1));
                }
                else if (others.Count == 1)
                {
                    isNullable |= schema.List("anyOf").Count > 1;
                    schema = others[0];
                }
                else if (schema.List("allOf").Count == 1) schema = schema.Maps("allOf")[0];
                else break;
            }
            return schema;
        }

        private static bool IsNull(IDictionary<string, object> schema)
        {
            return schema.TryGetValue("type", out var type) && "null".Equals(type);
        }

        private static Setting Leaf(string path, IDictionary<string, object> given, IDictionary<string, object> schema, bool isNullable)
        {
            var setting = new Setting
            {
                Path = path, Title = given.Text("title"), Description = given.Text("description"), IsNullable = isNullable,
            };
            if (setting.Title == "") setting.Title = path.Substring(path.LastIndexOf('.') + 1);
            setting.Kind = KindOf(schema);
            if (setting.Kind == SettingKind.Choice) setting.Choices = schema.List("enum").ConvertAll(one => (string)one);
            given.TryGetValue("default", out var value);
            if (value == null) setting.IsNullable |= given.ContainsKey("default");
            setting.Text = setting.DefaultText = Shown(value, setting.Kind);
            return setting;
        }

        private static SettingKind KindOf(IDictionary<string, object> schema)
        {
            var choices = schema.List("enum");
            if (choices.Count > 0) return choices.TrueForAll(one => one is string) ? SettingKind.Choice : SettingKind.Json;
            schema.TryGetValue("type", out var type);
            if ("integer".Equals(type)) return SettingKind.Whole;
            if ("number".Equals(type)) return SettingKind.Real;
            if ("boolean".Equals(type)) return SettingKind.Flag;
            return "string".Equals(type) ? SettingKind.Text : SettingKind.Json;
        }

        private static string Shown(object value, SettingKind kind)
        {
            if (value == null) return "";
            if (kind == SettingKind.Json) return Json.Write(value);
            if (value is string) return (string)value;
            if (value is bool) return (bool)value ? "true" : "false";
            return value is double ? ((double)value).ToString("R", CultureInfo.InvariantCulture) : value.ToString();
        }
    }
}
