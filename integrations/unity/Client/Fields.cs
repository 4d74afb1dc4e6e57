using System;
using System.Collections.Generic;

namespace Aognet.Client
{
    /// <summary>
    /// Values of a JSON object by name. A name that is missing or null gives the empty value of its type; a value of
    /// another type throws FormatException with the name.
    /// </summary>
    public static class Fields
    {
        /// <summary>Returns a text, or "".</summary>
        public static string Text(this IDictionary<string, object> map, string name)
        {
            return Value<string>(map, name) ?? "";
        }

        /// <summary>Returns a whole number, or 0.</summary>
        public static long Whole(this IDictionary<string, object> map, string name)
        {
            return Has(map, name) ? Value<long>(map, name) : 0;
        }

        /// <summary>Returns a number, or null.</summary>
        public static double? Real(this IDictionary<string, object> map, string name)
        {
            if (!Has(map, name)) return null;
            return map[name] is long ? Value<long>(map, name) : Value<double>(map, name);
        }

        /// <summary>Returns a truth value, or false.</summary>
        public static bool Flag(this IDictionary<string, object> map, string name)
        {
            return Has(map, name) && Value<bool>(map, name);
        }

        /// <summary>Returns an object, or an empty one.</summary>
        public static Dictionary<string, object> Map(this IDictionary<string, object> map, string name)
        {
            return Value<Dictionary<string, object>>(map, name) ?? new Dictionary<string, object>();
        }

        /// <summary>Returns a list, or an empty one.</summary>
        public static List<object> List(this IDictionary<string, object> map, string name)
        {
            return Value<List<object>>(map, name) ?? new List<object>();
        }

        /// <summary>Returns the objects of a list, or an empty list.</summary>
        public static List<Dictionary<string, object>> Maps(this IDictionary<string, object> map, string name)
        {
            return map.List(name).ConvertAll(one => As<Dictionary<string, object>>(one, name));
        }

        private static bool Has(IDictionary<string, object> map, string name)
        {
            return map.TryGetValue(name, out var value) && value != null;
        }

        private static T Value<T>(IDictionary<string, object> map, string name)
        {
            return Has(map, name) ? As<T>(map[name], name) : default(T);
        }

        private static T As<T>(object value, string name)
        {
            if (value is T) return (T)value;
            throw new FormatException("\"" + name + "\" is of another type");
        }
    }
}
