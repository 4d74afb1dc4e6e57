using System;
using UnityEditor;
using UnityEngine;

namespace Aognet.Editor
{
    /// <summary>What a panorama becomes in the project.</summary>
    public enum SkyKind
    {
        /// <summary>A texture as it is, and a Material of Skybox/Panoramic.</summary>
        Panoramic,

        /// <summary>A cubemap that Unity's importer makes, and a Material of Skybox/Cubemap.</summary>
        Cubemap,
    }

    /// <summary>How panoramas are imported: one for the whole project, to be kept with it.</summary>
    [FilePath("ProjectSettings/AognetPanoramas.asset", FilePathAttribute.Location.ProjectFolder)]
    public sealed class PanoramaSettings : ScriptableSingleton<PanoramaSettings>
    {
        public string folder = "Assets/Panoramas", label = "panorama";
        public SkyKind kind = SkyKind.Panoramic;
        public bool takesLight = true;

        /// <summary>Writes them.</summary>
        public void Keep()
        {
            Save(true);
        }
    }

    /// <summary>What is of this user: the studio's address, and tokens. They lie outside of the project.</summary>
    internal static class StudioPrefs
    {
        private const string ServerKey = "Aognet.Server", TokenKey = "Aognet.Token.";

        public static string Server
        {
            get { return EditorPrefs.GetString(ServerKey, "http://127.0.0.1:7860"); }
            set { EditorPrefs.SetString(ServerKey, value); }
        }

        /// <summary>The token of a server: of no other one.</summary>
        public static string TokenOf(string server)
        {
            return EditorPrefs.GetString(KeyOf(server), "");
        }

        public static void SetToken(string server, string token)
        {
            if (token == "") EditorPrefs.DeleteKey(KeyOf(server));
            else EditorPrefs.SetString(KeyOf(server), token);
        }

        private static string KeyOf(string server)
        {
            return TokenKey + (Uri.TryCreate(server, UriKind.Absolute, out var uri) ? uri.AbsoluteUri : server).TrimEnd('/');
        }
    }
}
